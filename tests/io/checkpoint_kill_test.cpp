// SPDX-License-Identifier: Apache-2.0
// kill -9 at random moments of saving: the newest checkpoint that was announced is still there, and whole.
#include "hici/io/checkpoint/store.h"

#include "hici/base/file.h"
#include "hici/io/checkpoint/manifest.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

namespace hici::io {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kKeep = 2;

// The child: saves step after step and tells each one through the pipe, after save() has returned.
[[noreturn]] void save_for_ever(const fs::path& out, int64_t first_step, int tell) {
  const int null = open("/dev/null", O_WRONLY);
  dup2(null, STDERR_FILENO);
  CheckpointStore store(out, kKeep);
  store.clean_up();
  for (int64_t step = first_step;; ++step) {
    const bool is_saved = store.save(step, 60'000, [step](const fs::path& folder) {
      for (const char* name : {"a.bin", "b.bin", "c.bin"}) {
        write_file_atomically(folder / name, std::string(20'000, static_cast<char>('a' + step % 26)));
      }
    });
    if (!is_saved || write(tell, &step, sizeof(step)) != sizeof(step)) _exit(1);
  }
}

struct Child {
  pid_t pid = -1;
  int told = -1;  // steps arrive here
};

Child start_saving(const fs::path& out, int64_t first_step) {
  std::array<int, 2> pipe_ends{};
  EXPECT_EQ(pipe(pipe_ends.data()), 0);
  const pid_t pid = fork();
  if (pid == 0) save_for_ever(out, first_step, pipe_ends[1]);
  close(pipe_ends[1]);
  return {pid, pipe_ends[0]};
}

// The last step that the child told before it was killed, or `known` when it told none.
int64_t kill_and_listen(const Child& child, int64_t known) {
  kill(child.pid, SIGKILL);
  int status = 0;
  waitpid(child.pid, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child gave up by itself";
  int64_t told = known;
  for (int64_t step = 0; read(child.told, &step, sizeof(step)) == sizeof(step);) told = step;
  close(child.told);
  return told;
}

TEST(CheckpointKillTest, NoMomentLosesAnAnnouncedCheckpoint) {
  using Clock = std::chrono::steady_clock;
  constexpr int kRounds = 60;
  constexpr int64_t kEnoughSteps = 20;  // else the test would mean nothing
  const testing::TemporaryFolder out;
  std::mt19937 random(20261123);
  int64_t told = 0;
  Clock::duration longest_delay = std::chrono::milliseconds(40);  // grows where a save takes longer than that
  const auto deadline = Clock::now() + std::chrono::minutes(2);
  for (int round = 0; round < kRounds || (told < kEnoughSteps && Clock::now() < deadline); ++round) {
    const Child child = start_saving(out.path(), told + 1);
    std::this_thread::sleep_for(longest_delay * std::uniform_int_distribution<int>(0, 1000)(random) / 1000);
    const int64_t before = told;
    told = kill_and_listen(child, told);
    const auto latest = find_latest_checkpoint(out.path());
    ASSERT_TRUE(latest.has_value() || told == 0) << "round " << round << " lost step " << told;
    if (told == before) longest_delay = longest_delay * 5 / 4;
    if (told > before + 4) longest_delay = longest_delay * 4 / 5;
    if (!latest) continue;
    // Killed between the rename and the telling, one more step may be there than was told.
    const int64_t found = verify_checkpoint(*latest).step;
    ASSERT_TRUE(found == told || found == told + 1) << "round " << round << " told " << told << " found " << found;
    told = found;
  }
  EXPECT_GE(told, kEnoughSteps);
}

}  // namespace
}  // namespace hici::io
