// SPDX-License-Identifier: Apache-2.0
#include "hici/base/append_file.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/file_size_limit.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <string>

namespace hici {
namespace {

TEST(AppendFileTest, ARecordWithoutRoomIsTakenBackWhole) {
  const testing::TemporaryFolder folder;
  AppendFile file(folder / "log");
  ASSERT_TRUE(file.append("first\n"));
  {
    const testing::FileSizeLimit limit(8);
    EXPECT_FALSE(file.append("second\n"));
    EXPECT_FALSE(file.append("third\n"));
  }
  EXPECT_TRUE(file.append("fourth\n"));
  EXPECT_EQ(read_file(folder / "log", 100), "first\nfourth\n");
  EXPECT_EQ(file.lost_records(), 2);
}

TEST(AppendFileTest, AFileThatMustBeNewIsNotOpenedTwice) {
  const testing::TemporaryFolder folder;
  const AppendFile file(folder / "log", AppendFile::Open::kMustBeNew);
  EXPECT_ERROR_SAYS(AppendFile(folder / "log", AppendFile::Open::kMustBeNew),
                    "log: cannot be opened for writing (File exists)");
}

TEST(AppendFileTest, ALinkIsNotFollowed) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "precious", "x");
  fs::create_symlink("precious", folder / "log");
  EXPECT_ERROR_SAYS(AppendFile(folder / "log"), "log: is a symbolic link");
  EXPECT_EQ(read_file(folder / "precious", 100), "x");
}

TEST(AppendFileTest, AFileOfOneIsRefusedToASecond) {
  const testing::TemporaryFolder folder;
  {
    const AppendFile file(folder / "log", AppendFile::Open::kAlone);
    EXPECT_ERROR_SAYS(AppendFile(folder / "log", AppendFile::Open::kAlone), "log: another process is writing it");
  }
  EXPECT_NO_THROW(AppendFile(folder / "log", AppendFile::Open::kAlone));
}

}  // namespace
}  // namespace hici
