// SPDX-License-Identifier: Apache-2.0
#include "hici/base/temporary.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <set>
#include <string>

namespace hici {
namespace {

using testing::TemporaryFolder;

constexpr const char* kDead = "out.hici-tmp-0000000000000001";

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

// A process of its own that does `work` and then sleeps until it is killed.
class SleepingProcess {
 public:
  template <typename Work>
  explicit SleepingProcess(const Work& work) {
    std::array<int, 2> ready{};
    EXPECT_EQ(pipe(ready.data()), 0);
    child_ = fork();
    if (child_ == 0) {
      work([&] {
        static_cast<void>(!write(ready[1], "x", 1));
        for (;;) pause();
      });
      _exit(0);
    }
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
  }
  ~SleepingProcess() { end(); }
  void end() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    child_ = 0;
  }

 private:
  pid_t child_ = 0;
};

TEST(TemporaryNameTest, IsOursAlone) {
  EXPECT_TRUE(is_temporary_name(kDead));
  for (const char* other :
       {"notes.tmp-2026-11", "out.tmp-123-0", "checkpoint-4.tmp", "out.hici-tmp-", "out.hici-tmp-1",
        ".hici-tmp-0000000000000001", "out.hici-tmp-000000000000000G", "out.hici-tmp-0000000000000001.txt"})
    EXPECT_FALSE(is_temporary_name(other)) << other;
}

TEST(TemporaryFileTest, TakesOverNothingThatIsInTheWay) {
  const TemporaryFolder folder;
  std::ofstream(folder / kDead) << "somebody's";
  fs::create_symlink(folder / "elsewhere", folder / "out.hici-tmp-0000000000000002");
  uint64_t next = 0;
  const TemporaryFile file = open_temporary_file(folder / "out", [&] { return ++next; });
  EXPECT_EQ(file.path, folder / "out.hici-tmp-0000000000000003");
  close(file.descriptor);
  next = 0;
  const WorkingFolder work(folder / "out", [&] { return ++next; });
  EXPECT_EQ(work.path(), folder / "out.hici-tmp-0000000000000004");
  EXPECT_EQ(read_file(folder / kDead, 100), "somebody's");
  EXPECT_FALSE(fs::exists(folder / "elsewhere"));
}

TEST(TemporaryFileTest, NamesWhatIsInTheWayWhenNoNameIsFree) {
  const TemporaryFolder folder;
  std::ofstream(folder / kDead) << "somebody's";
  EXPECT_ERROR_SAYS(open_temporary_file(folder / "out", [] { return uint64_t{1}; }),
                    "out: cannot create: " + (folder / kDead).string() + " is in the way; remove it");
}

TEST(TemporaryFileTest, TwoOfOneProcessAndOneTargetDiffer) {
  const TemporaryFolder folder;
  const TemporaryFile a = open_temporary_file(folder / "out");
  const TemporaryFile b = open_temporary_file(folder / "out");
  EXPECT_NE(a.path, b.path);
  close(a.descriptor);
  close(b.descriptor);
}

TEST(TemporaryFileTest, ANameOf255BytesIsCutBetweenCharacters) {
  const TemporaryFolder folder;
  const std::string beginning(228, 'n');
  std::string name = beginning;
  name.append("\xC3\xA9").append(25, 'n');  // cut in the character's middle
  write_file_atomically(folder / name, "x");
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{name});
  const TemporaryFile file = open_temporary_file(folder / name);
  EXPECT_EQ(file.path.filename().string().substr(0, 228 + 10), beginning + ".hici-tmp-");
  EXPECT_EQ(leftovers_of(folder / name).size(), 1U);
  close(file.descriptor);
}

TEST(LeftoversTest, OfAKilledProcessAreRemovedAndThoseInUseStay) {
  const TemporaryFolder folder;
  SleepingProcess process([&](const auto& sleep) {
    AtomicFile file(folder / "out");
    const WorkingFolder work(folder / "model");
    std::ofstream(work.path() / "weights") << "half";
    sleep();
  });
  const auto before = names_in(folder.path());
  ASSERT_EQ(before.size(), 2U);
  for (const Leftover& leftover : leftovers_in(folder.path())) EXPECT_TRUE(leftover.is_in_use) << leftover.path;
  remove_leftovers(leftovers_in(folder.path()));
  EXPECT_EQ(names_in(folder.path()), before);

  process.end();
  EXPECT_EQ(leftovers_of(folder / "out").size(), 1U);
  EXPECT_EQ(leftovers_of(folder / "model").size(), 1U);
  for (const Leftover& leftover : leftovers_in(folder.path())) EXPECT_FALSE(leftover.is_in_use) << leftover.path;
  EXPECT_EQ(names_in(folder.path()), before) << "looking removes nothing";
  remove_leftovers(leftovers_of(folder / "model"));
  EXPECT_EQ(names_in(folder.path()).size(), 1U);
  write_file_atomically(folder / "out", "whole");  // removes its own
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"out"});
}

TEST(LeftoversTest, OfOtherTargetsAndOtherProgramsStay) {
  const TemporaryFolder folder;
  const std::set<std::string> others = {"other.hici-tmp-0000000000000001", "out.tmp-123-0", "notes.tmp-2026-11",
                                        "xout.hici-tmp-0000000000000001",
                                        "out.hici-tmp-0000000000000001.hici-tmp-0000000000000001"};
  for (const std::string& name : others) std::ofstream(folder / name) << "x";
  fs::create_symlink(folder / "out.tmp-123-0", folder / kDead);
  ASSERT_EQ(mkfifo((folder / "out.hici-tmp-0000000000000002").c_str(), 0600), 0);
  write_file_atomically(folder / "out", "x");
  auto expected = others;
  expected.insert({"out", kDead, "out.hici-tmp-0000000000000002"});
  EXPECT_EQ(names_in(folder.path()), expected);
}

TEST(LeftoversTest, WhatAnotherProcessLocksIsLive) {
  const TemporaryFolder folder;
  std::ofstream(folder / kDead) << "x";
  SleepingProcess process([&](const auto& sleep) {
    const int descriptor = open((folder / kDead).c_str(), O_RDONLY);
    EXPECT_EQ(flock(descriptor, LOCK_SH), 0);
    sleep();
  });
  write_file_atomically(folder / "out", "x");
  EXPECT_TRUE(fs::exists(folder / kDead));
  process.end();
  write_file_atomically(folder / "out", "x");
  EXPECT_FALSE(fs::exists(folder / kDead));
}

TEST(WorkingFolderTest, IsRemovedUnlessItWasRenamed) {
  const TemporaryFolder folder;
  {
    const WorkingFolder work(folder / "out");
    std::ofstream(work.path() / "f") << "x";
  }
  EXPECT_TRUE(names_in(folder.path()).empty());
  {
    WorkingFolder work(folder / "out");
    std::ofstream(work.path() / "f") << "x";
    EXPECT_TRUE(work.rename_to(folder / "out"));
  }
  EXPECT_TRUE(fs::exists(folder / "out/f"));
  {
    WorkingFolder work(folder / "out");
    EXPECT_FALSE(work.rename_to(folder / "out")) << "it is not empty";
  }
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"out"});
}

}  // namespace
}  // namespace hici
