// SPDX-License-Identifier: Apache-2.0
// kill -9 at random moments of saving: the newest checkpoint that was announced is still there, and whole.
#include "hici/io/checkpoint_store.h"

#include "hici/base/file.h"
#include "hici/io/checkpoint_manifest.h"
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

// Lets a child save until it is killed after `delay`; the last step that it told, or `known` when none.
int64_t run_and_kill(const fs::path& out, int64_t known, std::chrono::microseconds delay) {
  std::array<int, 2> pipe_ends{};
  EXPECT_EQ(pipe(pipe_ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) save_for_ever(out, known + 1, pipe_ends[1]);
  close(pipe_ends[1]);
  std::this_thread::sleep_for(delay);
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child gave up by itself";
  int64_t told = known;
  for (int64_t step = 0; read(pipe_ends[0], &step, sizeof(step)) == sizeof(step);) told = step;
  close(pipe_ends[0]);
  return told;
}

TEST(CheckpointKillTest, NoMomentLosesAnAnnouncedCheckpoint) {
  constexpr int kRounds = 60;
  const testing::TemporaryFolder out;
  std::mt19937 random(20261123);
  std::uniform_int_distribution<int> delay_us(500, 30'000);
  int64_t told = 0;
  for (int round = 0; round < kRounds; ++round) {
    told = run_and_kill(out.path(), told, std::chrono::microseconds(delay_us(random)));
    const auto latest = find_latest_checkpoint(out.path());
    ASSERT_TRUE(latest.has_value() || told == 0) << "round " << round << " lost step " << told;
    if (!latest) continue;
    // Killed between the rename and the telling, one more step may be there than was told.
    const int64_t found = verify_checkpoint(*latest).step;
    ASSERT_TRUE(found == told || found == told + 1) << "round " << round << " told " << told << " found " << found;
    told = found;
  }
  EXPECT_GT(told, kRounds / 4) << "too little was saved for the test to mean anything";
}

}  // namespace
}  // namespace hici::io
