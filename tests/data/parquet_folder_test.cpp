// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/parquet_folder.h"

#include "hici/base/file.h"
#include "hici/data/arrow/files.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace hici::data {
namespace {

class ParquetFolderTest : public ::testing::Test {
 protected:
  void add(const std::string& name) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    write_file_atomically(folder_ / name, "PAR1");
  }
  std::vector<std::string> files(const std::string& split) const {
    std::vector<std::string> names;
    for (const auto& file : arrow_files(folder_.path(), split))
      names.push_back(file.lexically_relative(folder_.path()).string());
    return names;
  }
  using Names = std::vector<std::string>;

  testing::TemporaryFolder folder_;
};

TEST_F(ParquetFolderTest, ShardsOfASplitComeInTheirOrder) {
  for (const char* name : {"data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet",
                           "data/train-00000-of-00002.parquet", ".cache/x.parquet", "README.md"})
    add(name);
  EXPECT_TRUE(is_arrow_data(folder_.path()));
  EXPECT_EQ(files("train"), Names({"data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"}));
  EXPECT_EQ(files("test"), Names({"data/test-00000-of-00001.parquet"}));
  EXPECT_ERROR_SAYS(files("dev"), "has no split 'dev'; `split` takes one of test, train");
}

TEST_F(ParquetFolderTest, WordsOfNamesAndFoldersSayTheSplit) {
  for (const char* name : {"my_train_1.parquet", "my_train_0.parquet", "val/a.parquet", "evaluation.parquet"})
    add(name);
  EXPECT_EQ(files("train"), Names({"my_train_0.parquet", "my_train_1.parquet"}));
  EXPECT_EQ(files("validation"), Names({"val/a.parquet"}));
  EXPECT_EQ(files("test"), Names({"evaluation.parquet"}));
  add("more.parquet");
  EXPECT_ERROR_SAYS(files("train"), "more.parquet, which names none; move it, or give one file");
}

TEST_F(ParquetFolderTest, WithoutWordsAllIsTrain) {
  for (const char* name : {"b.parquet", "a.parquet", "retrain.parquet"}) add(name);
  EXPECT_EQ(files("train"), Names({"a.parquet", "b.parquet", "retrain.parquet"}));
}

TEST_F(ParquetFolderTest, AMissingShardIsNoSmallerDataSet) {
  add("train-00000-of-00003.parquet");
  add("train-00002-of-00003.parquet");
  EXPECT_ERROR_SAYS(files("train"), "Parquet file 1 of 3 is not there (counted from 0); fetch it");
  add("train-00001-of-00003.parquet");
  EXPECT_EQ(files("train").size(), 3U);
  add("train-00000-of-999999999.parquet");
  EXPECT_ERROR_SAYS(files("train"), "Parquet file 1 of 999999999 is not there");
}

TEST_F(ParquetFolderTest, SeveralSetsOfOneSplitAreNotMixed) {
  add("en/train-00000-of-00001.parquet");
  add("de/train-00000-of-00001.parquet");
  EXPECT_ERROR_SAYS(files("train"), "has 2 sets of Parquet files of one split, the first in");
}

TEST_F(ParquetFolderTest, FoldersInFoldersAreRead) {
  add("data/2023/b.parquet");
  add("data/2024/a.parquet");
  EXPECT_EQ(files("train"), Names({"data/2023/b.parquet", "data/2024/a.parquet"}));
  std::filesystem::remove_all(folder_ / "data");
  add("default/train/0000.parquet");
  add("default/test/0000.parquet");
  EXPECT_EQ(files("train"), Names({"default/train/0000.parquet"}));
}

TEST_F(ParquetFolderTest, ACardThatSaysAnotherSplitIsNotPassedOver) {
  const auto card = [&](const std::string& train, const std::string& test) {
    write_file_atomically(
        folder_ / "README.md",
        "---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: " + train +
            "\n  - split: test\n    path: " + test + "\n---\n# A data set\n");
  };
  add("a/x.parquet");
  add("b/y.parquet");
  card("b/*.parquet", "a/*.parquet");
  EXPECT_ERROR_SAYS(
      files("train"),
      "README.md: says under configs which files are which split, and a/x.parquet is not as its name says");
  std::filesystem::remove_all(folder_ / "a");
  std::filesystem::remove_all(folder_ / "b");
  add("data/train-00000-of-00001.parquet");
  add("data/test-00000-of-00001.parquet");
  card("data/train-*", "data/test-*");
  EXPECT_EQ(files("test"), Names({"data/test-00000-of-00001.parquet"}));
  write_file_atomically(folder_ / "README.md", "---\nconfigs:\n- config_name: x\n  data_files: 'data/train*'\n---\n");
  EXPECT_ERROR_SAYS(files("train"), "data/test-00000-of-00001.parquet is not as its name says");
  write_file_atomically(folder_ / "README.md", "# configs:\n- split: x\n");
  EXPECT_EQ(files("train").size(), 1U);
}

TEST_F(ParquetFolderTest, AFolderWithoutSuchFilesIsNone) {
  EXPECT_FALSE(is_parquet_folder(folder_.path()));
  add("a/b/c.txt");
  EXPECT_FALSE(is_parquet_folder(folder_.path()));
  EXPECT_ERROR_SAYS(files("train"), "has no state.json");
  EXPECT_FALSE(is_parquet_folder(folder_ / "none"));
}

}  // namespace
}  // namespace hici::data
