// SPDX-License-Identifier: Apache-2.0
#include "hici/base/output_place.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <fstream>

namespace hici {
namespace {

using testing::TemporaryFolder;

TEST(OutputPlaceTest, LookingLeavesNothingAndWritingMakesFolders) {
  const TemporaryFolder folder;
  check_output_file(folder / "a/b/result.json");
  check_output_folder(folder / "a/figures/");
  check_new_folder(folder / "a/model/");
  check_output_file("");
  EXPECT_TRUE(fs::is_empty(folder.path()));
  write_output_file(folder / "a/b/result.json", "{}");
  EXPECT_EQ(read_file(folder / "a/b/result.json", 10), "{}");
  check_output_file(folder / "a/b/result.json");
  EXPECT_EQ(read_file(folder / "a/b/result.json", 10), "{}");
}

TEST(OutputPlaceTest, SaysWhatCannotBeWritten) {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  fs::create_directory(folder / "full");
  std::ofstream(folder / "full/f") << "x";
  EXPECT_ERROR_SAYS(check_output_file(folder / "file/result.json"), "file: cannot make this folder (File exists)");
  EXPECT_ERROR_SAYS(check_output_file(folder / "file/a/result.json"), "file/a: cannot make this folder (");
  EXPECT_ERROR_SAYS(check_output_file("/proc/result.json"), "/proc/result.json: cannot create: ");
  EXPECT_ERROR_SAYS(check_output_file("/proc/result.json"), "; choose another place for the output");
  EXPECT_ERROR_SAYS(check_output_file(folder.path()), "is a directory, expected the name of a file");
  EXPECT_ERROR_SAYS(check_output_file(folder / "new/"), "new/: is the name of a folder");
  EXPECT_ERROR_SAYS(check_output_file(folder / std::string(256, 'n')), "File name too long");
  EXPECT_ERROR_SAYS(check_output_folder(folder / "file"), "file: is a file, expected a folder");
  EXPECT_ERROR_SAYS(check_output_folder("/proc"), "/proc: cannot create: ");
  EXPECT_ERROR_SAYS(check_new_folder(folder / "full"), "full: exists and is not empty");
  EXPECT_ERROR_SAYS(check_new_folder(folder / "file"), "file: exists and is not empty");
}

// A link is neither followed nor replaced; links among the folders are the user's own.
TEST(OutputPlaceTest, ALinkIsNotWrittenThrough) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "precious", "old");
  fs::create_directory(folder / "real");
  fs::create_directory_symlink("real", folder / "folder");
  fs::create_symlink("precious", folder / "link");
  fs::create_symlink("nowhere", folder / "dangling");
  for (const char* name : {"link", "dangling"}) {
    EXPECT_ERROR_SAYS(check_output_file(folder / name), std::string(name) + ": is a symbolic link");
    EXPECT_ERROR_SAYS(write_file_atomically(folder / name, "new"), std::string(name) + ": is a symbolic link");
    EXPECT_TRUE(fs::is_symlink(folder / name));
  }
  EXPECT_ERROR_SAYS(check_new_folder(folder / "folder"), "folder: is a symbolic link");
  EXPECT_EQ(read_file(folder / "precious", 10), "old");
  EXPECT_FALSE(fs::exists(folder / "nowhere"));
  write_output_file(folder / "folder/f", "x");
  EXPECT_EQ(read_file(folder / "real/f", 10), "x");
}

// As root, `--output /dev/null` made /dev/null a file of everybody's.
TEST(OutputPlaceTest, ADeviceOrAPipeIsNotReplaced) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_ERROR_SAYS(check_output_file(folder / "fifo"), "fifo: is no regular file");
  EXPECT_ERROR_SAYS(write_file_atomically(folder / "fifo", "x"), "fifo: is no regular file");
  EXPECT_ERROR_SAYS(check_output_file("/dev/null"), "/dev/null: is no regular file");
}

TEST(MadeFoldersTest, RemovesWhatItMadeAndNobodyUses) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "there");
  {
    const MadeFolders made(folder / "there/a/b");
    EXPECT_TRUE(fs::is_directory(folder / "there/a/b"));
  }
  EXPECT_TRUE(fs::is_empty(folder / "there"));
  {
    const MadeFolders made(folder / "there/a/b/");
    std::ofstream(folder / "there/a/f") << "x";
  }
  EXPECT_TRUE(fs::exists(folder / "there/a/f"));
  EXPECT_FALSE(fs::exists(folder / "there/a/b"));
}

TEST(OutputPlaceTest, AnInputIsNoOutputUnderAnyName) {
  const TemporaryFolder folder;
  write_output_file(folder / "tokens.bin", "ids");
  write_output_file(folder / "sub/notes", "x");
  fs::create_hard_link(folder / "tokens.bin", folder / "hard");
  fs::create_symlink(folder / "tokens.bin", folder / "link");
  const ReadPlaces inputs{{folder / "tokens.bin", "--data_path"}, {"", "--peft_model"}};
  for (const char* name : {"tokens.bin", "./tokens.bin", "sub/../tokens.bin", "hard"})
    EXPECT_ERROR_SAYS(check_output_file(folder / name, inputs),
                      std::string(name) + ": is what this command reads (--data_path); choose another name");
  EXPECT_ERROR_SAYS(check_output_file(folder / "tokens.bin", {{folder / "link", "--data_path"}}), "(--data_path)");
  EXPECT_ERROR_SAYS(check_output_file(folder / "none", {{folder / "sub/../none", "--data_path"}}), "(--data_path)");
  EXPECT_NO_THROW(check_output_file(folder / "other.bin", inputs));
  EXPECT_NO_THROW(check_output_file("", inputs));
  EXPECT_EQ(read_file(folder / "tokens.bin", 10), "ids");
}

TEST(OutputPlaceTest, AnInputThatIsNamedAsALeftoverStays) {
  const TemporaryFolder folder;
  const fs::path file = folder / "out.json.hici-tmp-0123456789abcdef", model = folder / "m.hici-tmp-0123456789abcdef";
  write_output_file(file, "ids");
  write_output_file(model / "config.json", "{}");
  EXPECT_ERROR_SAYS(check_output_file(folder / "out.json", {{file, "--data_path"}}),
                    "is what this command reads (--data_path), and its name says that it was left of");
  EXPECT_ERROR_SAYS(check_new_folder(folder / "m", {{model, "--base_model"}}), "would be removed; rename it");
  EXPECT_ERROR_SAYS(check_new_folder(folder / "m/", {{model / "config.json", "--base_model"}}), "rename it");
  EXPECT_TRUE(fs::exists(file) && fs::exists(model / "config.json"));
}

TEST(OutputPlaceTest, WhatStandsInAFolderThatIsReadIsNotReplaced) {
  const TemporaryFolder folder;
  const ReadPlaces inputs{{folder / "model/", "--base_model"}};
  for (const char* name : {"config.json", "weights.bin", "sub/notes", "map.svg"})
    write_output_file(folder / "model" / name, "{}");
  write_output_file(folder / "blob", "x");
  fs::create_symlink(folder / "blob", folder / "model/shard");
  write_output_file(folder / "model/result.json", R"({"command": "eval ppl"})");
  write_output_file(folder / "model/own.json", R"({"command": "of the model's maker", "model_type": "llama"})");
  for (const char* name : {"model/config.json", "model/own.json", "model/weights.bin", "blob"})
    EXPECT_ERROR_SAYS(check_output_file(folder / name, inputs),
                      "which this command reads (--base_model); choose another");
  for (const char* name : {"model/new.json", "model/sub/notes", "model/map.svg", "model/result.json", "beside.json"})
    EXPECT_NO_THROW(check_output_file(folder / name, inputs)) << name;
}

TEST(OutputPlaceTest, TheFileOfOptionsIsReadByEveryCommand) {
  const TemporaryFolder folder;
  write_output_file(folder / "run.ini", "seed = 1");
  note_read_place({folder / "run.ini", "--config"});
  EXPECT_ERROR_SAYS(check_output_file(folder / "run.ini", ReadPlaces{}),
                    "run.ini: is what this command reads (--config)");
}

}  // namespace
}  // namespace hici
