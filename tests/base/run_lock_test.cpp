// SPDX-License-Identifier: Apache-2.0
#include "hici/base/run_lock.h"

#include "hici/base/error.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace hici {
namespace {

class RunLockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::path(::testing::TempDir()) / ("run_lock_" + std::to_string(getpid()));
    std::filesystem::remove_all(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string refusal() const {
    try {
      const RunLock second(directory_);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }

  std::filesystem::path directory_;
};

TEST_F(RunLockTest, ASecondHolderIsRefusedWithTheNameOfTheFirst) {
  std::optional<RunLock> lock(directory_);
  const std::string message = refusal();
  EXPECT_NE(message.find(directory_.string() + ": another hici process (pid " + std::to_string(getpid()) + " on host "),
            std::string::npos)
      << message;
  lock.reset();
  EXPECT_EQ(refusal(), "");
  EXPECT_FALSE(std::filesystem::exists(directory_)) << "made for nothing";
}

TEST_F(RunLockTest, ALinkIsNotFollowed) {
  std::filesystem::create_directories(directory_);
  const std::filesystem::path target = directory_ / "precious";
  for (const bool is_there : {false, true}) {
    if (is_there) std::ofstream(target) << "text";
    std::filesystem::create_symlink("precious", directory_ / RunLock::kFileName);
    EXPECT_NE(refusal().find(RunLock::kFileName + std::string(": is a symbolic link")), std::string::npos) << refusal();
    EXPECT_EQ(std::filesystem::exists(target), is_there);
    std::filesystem::remove(directory_ / RunLock::kFileName);
  }
  EXPECT_EQ(std::filesystem::file_size(target), 4U);
}

TEST_F(RunLockTest, AFolderThatWasThereOrIsUsedStays) {
  std::filesystem::create_directories(directory_);
  {
    const RunLock lock(directory_);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  {
    const RunLock lock(directory_ / "a" / "b");
    std::ofstream(directory_ / "a" / "b" / "metrics.jsonl") << "x";
  }
  EXPECT_TRUE(std::filesystem::exists(directory_ / "a" / "b" / "metrics.jsonl"));
}

TEST_F(RunLockTest, AKilledProcessLeavesNoLock) {
  std::array<int, 2> ready{};
  ASSERT_EQ(pipe(ready.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const RunLock lock(directory_);
    static_cast<void>(!write(ready[1], "x", 1));
    pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_NE(refusal().find("pid " + std::to_string(child)), std::string::npos);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(refusal(), "");
}

TEST_F(RunLockTest, ADirectoryThatCannotBeMadeIsNamed) {
  EXPECT_THROW(RunLock("/proc/no_such/run"), Error);
  EXPECT_THROW(RunLock("/dev/null"), Error);
}

}  // namespace
}  // namespace hici
