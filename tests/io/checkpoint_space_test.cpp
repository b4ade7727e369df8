// SPDX-License-Identifier: Apache-2.0
// A full disk: once as a number that the file system gives, once as a real file system that is too small.
#include "hici/io/checkpoint/store.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>

namespace hici::io {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMebibyte = uint64_t{1} << 20;

std::string said(const std::function<void()>& work) {
  ::testing::internal::CaptureStderr();
  work();
  return ::testing::internal::GetCapturedStderr();
}

std::function<void(const fs::path&)> writer_of(uint64_t num_bytes) {
  return [num_bytes](const fs::path& folder) {
    write_file_atomically(folder / "weights.bin", std::string(num_bytes, 'w'));
  };
}

TEST(CheckpointSpaceTest, NothingIsWrittenWhenTheBytesDoNotFit) {
  const testing::TemporaryFolder out;
  CheckpointStore store(out.path(), 0, [](const fs::path&) { return uint64_t{100'000}; });
  bool is_called = false;
  const std::string warnings =
      said([&] { EXPECT_FALSE(store.save(3, 100'000, [&](const fs::path&) { is_called = true; })); });
  EXPECT_FALSE(is_called);
  EXPECT_NE(warnings.find("checkpoint-3: needs 100000 bytes, the disk has 100000 free"), std::string::npos) << warnings;
  EXPECT_TRUE(fs::is_empty(out.path()));
  EXPECT_TRUE(store.save(3, 1000, writer_of(1000)));
}

FreeBytes with_room_for(int64_t checkpoints) {
  return [checkpoints](const fs::path&) { return static_cast<uint64_t>(checkpoints) * kMebibyte * 5 / 4; };
}

TEST(CheckpointSpaceTest, ADiskWithoutRoomForOneIsAnErrorBeforeTheRun) {
  const testing::TemporaryFolder out;
  EXPECT_ERROR_SAYS(CheckpointStore(out.path(), 0, with_room_for(0)).check_room(kMebibyte, 5),
                    "a checkpoint takes 1048576 bytes (1.00 MiB), the disk has 0 free (0 B), room for none; make room");
  EXPECT_EQ(said([&] { CheckpointStore(out.path(), 0, with_room_for(5)).check_room(kMebibyte, 5); }), "");
  EXPECT_EQ(said([&] { CheckpointStore(out.path(), 0, with_room_for(0)).check_room(kMebibyte, 0); }), "")
      << "nothing is left to save";
}

TEST(CheckpointSpaceTest, WhereAllAreKeptAndSomeFitAWarningSaysHowMany) {
  const testing::TemporaryFolder out;
  const std::string warning = said([&] { CheckpointStore(out.path(), 0, with_room_for(3)).check_room(kMebibyte, 5); });
  EXPECT_NE(warning.find("room for 3 of 5 checkpoints; use `save_total_limit` 2"), std::string::npos) << warning;
}

TEST(CheckpointSpaceTest, AnOldCheckpointStaysUntilTheNewOneIsThere) {
  const testing::TemporaryFolder out;
  const auto check = [&](int64_t limit, int64_t room, int64_t saves) {
    CheckpointStore(out.path(), limit, with_room_for(room)).check_room(kMebibyte, saves);
  };
  EXPECT_ERROR_SAYS(check(1, 1, 5), "`save_total_limit` 1 takes 2 more at once");
  EXPECT_ERROR_SAYS(check(1, 1, 5), "use `save_steps` 0");
  EXPECT_ERROR_SAYS(check(3, 3, 5), "or use `save_total_limit` 2");
  EXPECT_EQ(said([&] { check(1, 2, 5); }), "");
  EXPECT_EQ(said([&] { check(1, 1, 1); }), "") << "the only one";
  CheckpointStore store(out.path());
  for (const int64_t step : {1, 2}) ASSERT_TRUE(store.save(step, 1000, writer_of(1000)));
  EXPECT_EQ(said([&] { check(2, 1, 5); }), "") << "two are there, the next one pushes out the first";
  EXPECT_ERROR_SAYS(check(2, 0, 5), "room for none");
}

// A tmpfs of two mebibytes, where the process may mount one.
class SmallDisk {
 public:
  SmallDisk() { is_mounted_ = mount("none", folder_.path().c_str(), "tmpfs", 0, "size=2m") == 0; }
  ~SmallDisk() {
    if (is_mounted_) umount2(folder_.path().c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool is_mounted() const { return is_mounted_; }
  const fs::path& path() const { return folder_.path(); }

 private:
  testing::TemporaryFolder folder_;
  bool is_mounted_ = false;
};

TEST(CheckpointSpaceTest, ADiskThatFillsUpWhileWritingKeepsTheOldCheckpoint) {
  const SmallDisk disk;
  if (!disk.is_mounted()) {
    // Where CI runs as root the test must not pass by not running.
    ASSERT_TRUE(geteuid() != 0 || std::getenv("CI") == nullptr) << "cannot mount a tmpfs: " << std::strerror(errno);
    GTEST_SKIP() << "needs the right to mount a tmpfs";
  }
  // Twice: the estimate says what is needed; and it is too low, as when another process takes the room meanwhile.
  for (const uint64_t bytes_needed : {2 * kMebibyte, uint64_t{1000}}) {
    CheckpointStore store(disk.path());
    ASSERT_TRUE(store.save(1, 300'000, writer_of(300'000)));
    const std::string warnings = said([&] { EXPECT_FALSE(store.save(2, bytes_needed, writer_of(2 * kMebibyte))); });
    EXPECT_NE(warnings.find("checkpoint-2: not saved, it needs " + std::to_string(bytes_needed) + " bytes"),
              std::string::npos)
        << warnings;
    EXPECT_EQ(store.failed_saves(), 1);
    EXPECT_EQ(find_latest_checkpoint(disk.path()), disk.path() / "checkpoint-1");
    EXPECT_TRUE(leftovers_of_run(disk.path()).empty());
    ASSERT_TRUE(store.save(3, 300'000, writer_of(300'000))) << "room is there again";
    for (const int64_t step : {1, 3}) fs::remove_all(checkpoint_path(disk.path(), step));
  }
}

}  // namespace
}  // namespace hici::io
