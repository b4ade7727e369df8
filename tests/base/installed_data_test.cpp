// SPDX-License-Identifier: Apache-2.0
#include "hici/base/installed_data.h"

#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace hici {
namespace {

namespace fs = std::filesystem;

class InstalledDataTest : public ::testing::Test {
 protected:
  fs::path found_from(const std::string& program_folder) const {
    return find_installed_data(folder_ / program_folder, "texts/a.txt", "give one");
  }
  void put(const std::string& data_folder) const {
    fs::create_directories(folder_ / data_folder / "texts");
    std::ofstream(folder_ / data_folder / "texts/a.txt") << "text";
  }

  testing::TemporaryFolder folder_;
};

TEST_F(InstalledDataTest, IsFoundFromEveryLayout) {
  put("prefix/share/hici");
  for (const char* folder : {"prefix/bin", "prefix/lib/hici", "prefix/lib/x86_64-linux-gnu/hici"})
    EXPECT_EQ(found_from(folder), folder_ / "prefix/share/hici/texts/a.txt") << folder;
}

TEST_F(InstalledDataTest, TheFolderOfTheProgramIsFirst) {
  put("share/hici");
  put("package/share/hici");
  EXPECT_EQ(found_from("package"), folder_ / "package/share/hici/texts/a.txt");
  EXPECT_EQ(found_from("bin"), folder_ / "share/hici/texts/a.txt");
}

TEST_F(InstalledDataTest, WhatIsNowhereIsNamedWithThePlaces) {
  fs::create_directories(folder_ / "a/share/hici/texts/a.txt");  // a folder is no such file
  EXPECT_ERROR_SAYS(found_from("a/b"), "texts/a.txt: comes with hici and is in none of " +
                                           (folder_ / "a/b/share/hici").string() + ", " +
                                           (folder_ / "a/share/hici").string() + ", ");
  EXPECT_ERROR_SAYS(found_from("a/b"), "; give one");
}

TEST_F(InstalledDataTest, AProgramAtTheRootHasOneFolder) {
  EXPECT_EQ(data_folders("/"), std::vector<fs::path>{"/share/hici"});
  EXPECT_EQ(data_folders("/bin"), (std::vector<fs::path>{"/bin/share/hici", "/share/hici"}));
}

TEST_F(InstalledDataTest, TheProgramThatRunsHasAFolder) {
  EXPECT_TRUE(fs::is_regular_file(program_folder() / "base_tests")) << program_folder();
}

}  // namespace
}  // namespace hici
