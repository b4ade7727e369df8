// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/folder_check.h"

#include "hici/base/file.h"
#include "hici/base/sha256.h"
#include "hici/io/checkpoint/model_identity.h"
#include "hici/io/generation_config.h"
#include "hici/io/known_files.h"
#include "hici/io/weight_file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

namespace hici::io {
namespace {

std::string bytes_of(const fs::path& path) { return read_file(path, size_t{1} << 20); }

std::string with_flipped_bit(std::string bytes, size_t at) {
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  return bytes;
}

// Checkpoint 7, as far as a reader of weights looks.
class FolderCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(checkpoint_);
    at::manual_seed(1);
    write_weights(weights_);
    write_safetensors(checkpoint_ / "optimizer.safetensors", {{"exp_avg.a", at::ones({5})}});
    write_file_atomically(checkpoint_ / "hici_config.json", "{\"num_segments\": 4}");
    write_file_atomically(checkpoint_ / "training_state.json", "{}");
    write_manifest(manifest_of_folder(checkpoint_, 7));
  }

  static void write_weights(const fs::path& path) {
    write_safetensors(path, {{"a", at::randn({3, 4})}, {"b", at::randn({7}).to(at::kBFloat16)}});
  }
  void write_manifest(const CheckpointManifest& manifest) {
    write_file_atomically(checkpoint_ / kManifestName, manifest_text(manifest));
  }
  // As written before hashes of tensors were there.
  void write_old_manifest() {
    fs::remove(checkpoint_ / kManifestName);
    CheckpointManifest manifest = manifest_of_folder(checkpoint_, 7);
    manifest.version = 1;
    for (ManifestFile& file : manifest.files) file.hashes.reset();
    write_manifest(manifest);
  }
  // All that a reader does.
  void read(const std::vector<std::string>& names = {"a", "b"}) const {
    FolderCheck check(checkpoint_);
    const OpenedWeights opened = open_weights(checkpoint_, "adapter_model", "adapter_model", &check);
    for (const std::string& name : names) opened.source->read(name, at::kFloat);
    check.finish();
  }
  // `path` with other bytes for a moment: refused, and the message names the file.
  void expect_refused(const fs::path& path, const std::string& bytes) const {
    const std::string whole = bytes_of(path);
    write_file_atomically(path, bytes);
    EXPECT_ERROR_SAYS(read(), path.string());
    write_file_atomically(path, whole);
  }

  testing::TemporaryFolder folder_;
  fs::path checkpoint_ = folder_ / "checkpoint-7";
  fs::path weights_ = checkpoint_ / "adapter_model.safetensors";
};

TEST_F(FolderCheckTest, AWholeCheckpointIsReadAndNotesInItDoNotMatter) {
  write_file_atomically(checkpoint_ / "notes.txt", "mine");
  EXPECT_NO_THROW(read());
  fs::remove(checkpoint_ / kManifestName);
  EXPECT_NO_THROW(read());
}

TEST_F(FolderCheckTest, AFlippedBitInAnyByteOfTheWeightsIsFound) {
  const std::string whole = bytes_of(weights_);
  for (size_t at = 0; at < whole.size(); ++at) expect_refused(weights_, with_flipped_bit(whole, at));
}

TEST_F(FolderCheckTest, AnOlderManifestIsHeldTooByAnotherThread) {
  write_old_manifest();
  EXPECT_NO_THROW(read());
  const std::string whole = bytes_of(weights_);
  expect_refused(weights_, with_flipped_bit(whole, whole.size() - 1));
  expect_refused(weights_, with_flipped_bit(whole, whole.size() - 30));
}

TEST_F(FolderCheckTest, WhatWasHashedWholeIsKnownAfterwards) {
  const auto known = [&](const fs::path& file) {
    FolderCheck check(checkpoint_ / "");
    const OpenedWeights opened = open_weights(checkpoint_, "adapter_model", "adapter_model", &check);
    check.finish();
    return check.sha256_of(file);
  };
  EXPECT_EQ(known(checkpoint_ / "hici_config.json"), sha256_hex_of_file(checkpoint_ / "hici_config.json"));
  EXPECT_EQ(known(folder_ / "hici_config.json"), std::nullopt) << "of another folder";
  EXPECT_EQ(known(weights_), std::nullopt) << "held against the hashes of its tensors";
  EXPECT_EQ(known(checkpoint_ / "optimizer.safetensors"), std::nullopt) << "not read";
  write_old_manifest();
  EXPECT_EQ(known(weights_), sha256_hex_of_file(weights_));
}

TEST_F(FolderCheckTest, OnlyWhatIsReadIsHashed) {
  const std::string whole = bytes_of(weights_);
  write_file_atomically(weights_, with_flipped_bit(whole, whole.size() - 1));  // in "b", whose elements are smaller
  EXPECT_NO_THROW(read({"a"}));
  EXPECT_ERROR_SAYS(read({"b"}), "tensor 'b' is not what manifest.json says of it; the file is damaged");
}

TEST_F(FolderCheckTest, AFileOfAnotherRunIsRefusedAlsoWhenItHasTheSameSize) {
  write_weights(weights_);
  EXPECT_ERROR_SAYS(read(), "adapter_model.safetensors: tensor 'a' is not what manifest.json says of it");
}

TEST_F(FolderCheckTest, SmallFilesAreHashedAndOthersHaveTheirSize) {
  for (const char* name : {"hici_config.json", "training_state.json"}) {
    const std::string whole = bytes_of(checkpoint_ / name);
    expect_refused(checkpoint_ / name, with_flipped_bit(whole, whole.size() / 2));
    expect_refused(checkpoint_ / name, whole + " ");
  }
  const fs::path unread = checkpoint_ / "optimizer.safetensors";
  expect_refused(unread, bytes_of(unread) + "x");
  fs::remove(unread);
  EXPECT_ERROR_SAYS(read(), "optimizer.safetensors: is missing, and manifest.json lists it");
}

TEST_F(FolderCheckTest, AFileThatIsNotListedIsNoPartOfTheCheckpoint) {
  FolderCheck check(checkpoint_);
  write_weights(checkpoint_ / "trainable_params.safetensors");
  EXPECT_ERROR_SAYS(open_weights(checkpoint_, "trainable_params", "trainable_params", &check),
                    "trainable_params.safetensors: is not in manifest.json, so that it is no part of this checkpoint");
  write_file_atomically(checkpoint_ / "model.safetensors.index.json", R"({"weight_map":{"a":"x.safetensors"}})");
  EXPECT_ERROR_SAYS(open_weights(checkpoint_, "model", "pytorch_model", &check), "index.json: is not in manifest.json");
  write_file_atomically(checkpoint_ / "adapter_config.json", "{}");
  EXPECT_ERROR_SAYS(FolderCheck{checkpoint_}, "adapter_config.json: is not in manifest.json");
}

TEST_F(FolderCheckTest, WhatAReaderLooksForByNameIsListedOrNotThere) {
  const std::vector<std::string>& names = files_read_by_name();
  for (const char* name :
       {"chat_template.jinja", "chat_template.json", "additional_chat_templates", "special_tokens_map.json",
        "added_tokens.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json",
        "pytorch_model.bin.index.json", "adapter_model.bin", "adapter_model.safetensors", "trainable_params.bin",
        "hici_modules.safetensors", "config.json", "model.safetensors", "pytorch_model.bin"})
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  for (const std::string& name : names) {
    const fs::path file = checkpoint_ / name;
    if (fs::exists(file)) continue;  // listed
    write_file_atomically(file, "{}");
    EXPECT_ERROR_SAYS(FolderCheck{checkpoint_}, name + ": is not in manifest.json");
    fs::remove(file);
    fs::create_directory(file);
    EXPECT_ERROR_SAYS(FolderCheck{checkpoint_}, name + ": is not in manifest.json");
    fs::remove(file);
    fs::create_symlink("nowhere", file);
    EXPECT_ERROR_SAYS(FolderCheck{checkpoint_}, name + ": is not in manifest.json");
    fs::remove(file);
  }
  EXPECT_NO_THROW(read());
}

TEST_F(FolderCheckTest, AManifestThatIsALinkToNowhereIsDamaged) {
  for (const fs::path& folder : {checkpoint_, folder_ / "model"}) {
    fs::create_directory(folder);
    fs::remove(folder / kManifestName);
    fs::create_symlink("nowhere", folder / kManifestName);
    EXPECT_ERROR_SAYS(FolderCheck{folder}, "manifest.json");
  }
}

TEST_F(FolderCheckTest, ALinkToNowhereIsNoMissingFile) {
  fs::create_directory(folder_ / "model");
  for (const char* name : {kIdentityName, "model.safetensors", "generation_config.json"})
    fs::create_symlink("nowhere", folder_ / "model" / name);
  EXPECT_ERROR_SAYS(read_identity(folder_ / "model"), "hici_identity.json: ");
  EXPECT_ERROR_SAYS(open_weights(folder_ / "model", "model", "pytorch_model"), "model.safetensors: ");
  const config::ModelConfig config;
  EXPECT_ERROR_SAYS(read_generation_config(folder_ / "model", config), "generation_config.json: ");
}

TEST_F(FolderCheckTest, AManifestOfAnotherStepOrADamagedOneIsRefused) {
  fs::copy(checkpoint_, folder_ / "checkpoint-8");
  EXPECT_ERROR_SAYS(FolderCheck{folder_ / "checkpoint-8/"},
                    "checkpoint-8/manifest.json: is of step 7, the folder is named checkpoint-8");
  fs::create_directory_symlink(folder_ / "checkpoint-8", folder_ / "link");
  for (const char* spelling : {"checkpoint-8/.", "checkpoint-8/../checkpoint-8", "link", "link/"})
    EXPECT_ERROR_SAYS(FolderCheck{folder_ / spelling}, "is of step 7, the folder is named checkpoint-8");
  fs::copy(checkpoint_, folder_ / "best");
  EXPECT_NO_THROW(FolderCheck{folder_ / "best"});
  const std::string whole = bytes_of(checkpoint_ / kManifestName);
  for (size_t at = 0; at + 1 < whole.size(); at += 13)
    expect_refused(checkpoint_ / kManifestName, with_flipped_bit(whole, at));
}

TEST_F(FolderCheckTest, AnotherProgramsManifestIsLeftAlone) {
  fs::create_directory(folder_ / "model");
  write_file_atomically(folder_ / "model" / kManifestName, R"({"format": "of another program"})");
  write_weights(folder_ / "model" / "model.safetensors");
  FolderCheck check(folder_ / "model");
  EXPECT_NE(open_weights(folder_ / "model", "model", "pytorch_model", &check).source, nullptr);
}

}  // namespace
}  // namespace hici::io
