// SPDX-License-Identifier: Apache-2.0
#include "hici/base/links.h"

#include "hici/base/file.h"
#include "hici/base/json.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace hici {
namespace {

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

class LinksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_text(folder_ / "private/secret.json", "{\"secret\": 1}");
    write_text(folder_ / "private/big.safetensors", "weights");
    fs::create_directories(folder_ / "model");
  }
  fs::path link(const std::string& name, const fs::path& target) const {
    fs::create_symlink(target, folder_ / name);
    return folder_ / name;
  }
  static std::string text_of(const fs::path& path, Links links) { return read_file(path, 100, links); }

  testing::TemporaryFolder folder_;
};

TEST_F(LinksTest, ACompanionOutsideItsFolderIsRefusedByName) {
  for (const fs::path& target : {folder_ / "private/secret.json", fs::path("../private/secret.json")}) {
    const fs::path config = link("model/config.json", target);
    EXPECT_ERROR_SAYS(text_of(config, Links::kCompanion),
                      "model/config.json: is a link to " + (folder_ / "private/secret.json").string() +
                          ", outside its folder; such a link is not followed; copy the file here, or give the folder");
    EXPECT_ERROR_SAYS(read_companion_json(config), "model/config.json: is a link to ");
    EXPECT_ERROR_SAYS(MappedFile(config, Links::kCompanion), "model/config.json: is a link to ");
    EXPECT_EQ(text_of(config, Links::kAny), "{\"secret\": 1}");
    fs::remove(config);
  }
}

TEST_F(LinksTest, OverASecondLinkToo) {
  link("model/second.json", folder_ / "private/secret.json");
  EXPECT_ERROR_SAYS(text_of(link("model/config.json", "second.json"), Links::kCompanion), "is a link to ");
  // A folder whose name begins like that of the model is another folder.
  write_text(folder_ / "model-b/x.json", "x");
  EXPECT_ERROR_SAYS(text_of(link("model/x.json", "../model-b/x.json"), Links::kCompanion), "is a link to ");
}

TEST_F(LinksTest, LinksWithinTheFolderAndLinkedFoldersAreFollowed) {
  write_text(folder_ / "model/real.json", "real");
  EXPECT_EQ(text_of(link("model/config.json", "real.json"), Links::kCompanion), "real");
  // The user may give, or keep, a folder that is a link itself.
  const fs::path linked = link("linked", "model");
  EXPECT_EQ(text_of(linked / "config.json", Links::kCompanion), "real");
  EXPECT_EQ(text_of(linked / "real.json", Links::kCompanion), "real");
}

TEST_F(LinksTest, AHubCacheIsReadAsItIs) {
  const std::string repository = "hub/models--org--name/";
  write_text(folder_ / (repository + "blobs/0123abcd"), "blob");
  fs::create_directories(folder_ / (repository + "snapshots/rev/sub"));
  const fs::path config = link(repository + "snapshots/rev/config.json", "../../blobs/0123abcd");
  EXPECT_EQ(text_of(config, Links::kCompanion), "blob");
  EXPECT_EQ(text_of(link(repository + "snapshots/rev/sub/c.json", "../../../blobs/0123abcd"), Links::kCompanion),
            "blob");
  // Another repository's files are not its own.
  write_text(folder_ / "hub/models--org--other/blobs/9", "other");
  EXPECT_ERROR_SAYS(
      text_of(link(repository + "snapshots/rev/x.json", "../../../models--org--other/blobs/9"), Links::kCompanion),
      "is a link to ");
}

// ln -s /data/weights/*.safetensors .
TEST_F(LinksTest, LargeFilesMayBeLinkedInUnderTheirEnding) {
  EXPECT_EQ(text_of(link("model/model.safetensors", folder_ / "private/big.safetensors"), Links::kData), "weights");
  write_text(folder_ / "hub/models--org--name/blobs/77", "blob");
  EXPECT_EQ(text_of(link("model/a.safetensors", folder_ / "hub/models--org--name/blobs/77"), Links::kData), "blob");
  EXPECT_ERROR_SAYS(text_of(link("model/b.safetensors", folder_ / "private/secret.json"), Links::kData),
                    "outside its folder; a link to data must keep the ending of its name; copy the file here");
}

TEST_F(LinksTest, WhatIsNotThereOrNoFileIsSaid) {
  EXPECT_ERROR_SAYS(text_of(folder_ / "model/none.json", Links::kCompanion), "none.json: cannot open: No such file");
  EXPECT_ERROR_SAYS(text_of(link("model/broken.json", "none"), Links::kCompanion),
                    "broken.json: is a link that cannot be opened: No such file");
  EXPECT_ERROR_SAYS(text_of(link("model/self.json", "self.json"), Links::kCompanion),
                    "self.json: is a link that cannot");
  EXPECT_ERROR_SAYS(text_of(folder_ / "model", Links::kCompanion), "is a directory");
}

}  // namespace
}  // namespace hici
