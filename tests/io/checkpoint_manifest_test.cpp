// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/manifest.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

namespace hici::io {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) { return read_file(path, size_t{1} << 20); }

// A whole checkpoint of step 7 with two files.
class CheckpointManifestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_text(folder_ / "adapter.bin", "weights of the adapter");
    testing::write_text(folder_ / "state.json", std::string(5000, 'x'));
    testing::write_text(manifest_path(), manifest_text(manifest_of_folder(folder_.path(), 7)));
  }

  fs::path manifest_path() const { return folder_ / kManifestName; }

  // verify_checkpoint must refuse, in a clean line that names `part`.
  void expect_refused(const std::string& part) const { EXPECT_ERROR_SAYS(verify_checkpoint(folder_.path()), part); }

  // The same after one edit of the manifest's text.
  void expect_refused_with(const std::string& from, const std::string& to, const std::string& part) const {
    const std::string whole = read_text(manifest_path());
    const size_t at = whole.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    testing::write_text(manifest_path(), std::string(whole).replace(at, from.size(), to));
    expect_refused(part);
    testing::write_text(manifest_path(), whole);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(CheckpointManifestTest, AWholeCheckpointVerifiesAndForeignFilesAreLeftAlone) {
  testing::write_text(folder_ / "notes.txt", "mine");
  const CheckpointManifest manifest = verify_checkpoint(folder_.path());
  EXPECT_EQ(manifest.step, 7);
  ASSERT_EQ(manifest.files.size(), 2U);
  EXPECT_EQ(manifest.files[0].name, "adapter.bin");
  EXPECT_EQ(manifest.files[0].size_bytes, 22U);
  // `printf 'weights of the adapter' | sha256sum`
  EXPECT_EQ(manifest.files[0].sha256, "0a1f64f4eabd00e468075665b8e83d227fd74abc66e9ab96ce18e713b7b97dce");
}

TEST_F(CheckpointManifestTest, AFileCutAtAnyLengthIsNamed) {
  const std::string whole = read_text(folder_ / "state.json");
  for (const size_t size : {size_t{0}, size_t{1}, size_t{2500}, whole.size() - 1}) {
    testing::write_text(folder_ / "state.json", whole.substr(0, size));
    expect_refused("state.json: has " + std::to_string(size) + " bytes, manifest.json says 5000");
  }
  testing::write_text(folder_ / "state.json", whole + "x");
  expect_refused("state.json: has 5001 bytes");
}

TEST_F(CheckpointManifestTest, AFlippedBitAnywhereIsFound) {
  const std::string whole = read_text(folder_ / "state.json");
  for (const size_t position : {size_t{0}, size_t{63}, size_t{64}, size_t{2500}, whole.size() - 1}) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[position] = static_cast<char>(damaged[position] ^ (1 << bit));
      testing::write_text(folder_ / "state.json", damaged);
      expect_refused("state.json: its SHA-256 is not the one in manifest.json");
      EXPECT_NO_THROW(verify_checkpoint(folder_.path(), VerifyDepth::kSizes));
    }
  }
}

TEST_F(CheckpointManifestTest, EveryFlippedBitOfTheManifestIsFound) {
  const std::string whole = read_text(manifest_path());
  for (size_t position = 0; position + 1 < whole.size(); ++position) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[position] = static_cast<char>(damaged[position] ^ (1 << bit));
      const std::string message = testing::error_message([&] { parse_manifest(damaged, "m"); });
      EXPECT_NE(message, "nothing was thrown") << position << " bit " << bit;
      EXPECT_TRUE(testing::is_one_clean_line(message));
    }
  }
}

TEST_F(CheckpointManifestTest, AManifestCutAtAnyLengthIsRefused) {
  const std::string whole = read_text(manifest_path());
  for (size_t size = 0; size + 1 < whole.size(); ++size) {  // without the line end at its end it is still whole
    EXPECT_THROW(parse_manifest(whole.substr(0, size), "m"), Error) << size;
  }
}

TEST_F(CheckpointManifestTest, MissingThingsAreNamed) {
  fs::remove(folder_ / "adapter.bin");
  expect_refused("adapter.bin: is missing, and manifest.json lists it");
  fs::remove(manifest_path());
  expect_refused("manifest.json: no such file; this is no whole checkpoint");
  EXPECT_ERROR_SAYS(verify_checkpoint(folder_ / "nothing"), "nothing: no such directory");
}

TEST_F(CheckpointManifestTest, HostileManifestsAreRefused) {
  expect_refused_with("adapter.bin", "../../x/etc", "is not allowed");
  expect_refused_with("adapter.bin", "manifest.json", "is not allowed");
  expect_refused_with("adapter.bin", "state.json", "is listed twice");
  expect_refused_with("\"size\": 22", "\"size\": -1", "size");
  expect_refused_with("\"size\": 22", "\"size\": 0", "size");
  expect_refused_with("\"size\": 22", "\"size\": 99999999999999999999", "size");
  expect_refused_with("\"version\": 2", "\"version\": 3", "format version 3, this program reads up to 2");
  expect_refused_with("hici-checkpoint", "another", "expected \"hici-checkpoint\"");
  expect_refused_with("\"step\": 7", "\"step\": 8", "its own SHA-256");
  for (const char* text : {"", "[]", "{}", "null", R"({"format":"hici-checkpoint","version":1,"step":1,"files":[]})"}) {
    testing::write_text(manifest_path(), text);
    expect_refused("manifest.json: ");
  }
}

TEST(CheckpointManifestFolderTest, AnEmptyFileIsABug) {
  const testing::TemporaryFolder folder;
  testing::write_text(folder / "empty", "");
  EXPECT_THROW(manifest_of_folder(folder.path(), 1), InternalError);
}

}  // namespace
}  // namespace hici::io
