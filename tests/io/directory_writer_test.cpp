// SPDX-License-Identifier: Apache-2.0
#include "hici/io/directory_writer.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <set>
#include <string>

namespace hici::io {
namespace {

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

// In a container the next process has the same id: a merge took over the folder of a killed one, and published what
// that one had written.
TEST(DirectoryWriterTest, PublishesNothingThatItHasNotWritten) {
  const testing::TemporaryFolder folder;
  const std::string former = "out.tmp-" + std::to_string(getpid());  // as names were made before
  for (const std::string& name : {former, std::string("out.hici-tmp-0000000000000001")}) {
    fs::create_directory(folder / name);
    write_file_atomically(folder / name / "hici_modules.safetensors", "of a killed process");
  }
  {
    DirectoryWriter writer(folder / "out/", 10);
    write_file_atomically(writer.folder() / "config.json", "{}");
    EXPECT_EQ(names_in(folder.path()).count("out.hici-tmp-0000000000000001"), 0U) << "a dead process left it";
    writer.publish();
  }
  EXPECT_EQ(names_in(folder / "out"), std::set<std::string>{"config.json"});
  EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"out", former})) << "nobody knows whose this is";
}

TEST(DirectoryWriterTest, TwoForOneNameDoNotMeet) {
  const testing::TemporaryFolder folder;
  DirectoryWriter first(folder / "out", 10);
  write_file_atomically(first.folder() / "a", "1");
  DirectoryWriter second(folder / "out", 10);
  write_file_atomically(second.folder() / "b", "2");
  first.publish();
  EXPECT_ERROR_SAYS(second.publish(), "out: cannot publish: Directory not empty");
  EXPECT_EQ(names_in(folder / "out"), std::set<std::string>{"a"});
}

TEST(DirectoryWriterTest, LeavesNoFoldersWithoutPublishing) {
  const testing::TemporaryFolder folder;
  {
    const DirectoryWriter writer(folder / "models/new/out", 10);
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_ERROR_SAYS(DirectoryWriter(folder / "models/out", ~uint64_t{0}),
                    "models/out: needs 18446744073709551615 bytes");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace hici::io
