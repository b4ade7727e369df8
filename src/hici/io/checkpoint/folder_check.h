// SPDX-License-Identifier: Apache-2.0
// A folder that has the manifest.json of a checkpoint is read as that says, whoever reads it: evaluation, generation,
// merging, another run. A folder without one is read as it is.
//
//   FolderCheck check(folder);   // manifest, names and sizes of all files, hashes of the small ones
//   auto weights = open_weights(folder, ..., &check);   // checked while they are read
//   ...
//   check.finish();   // before anything that was made of them is given to anybody
#pragma once

#include "hici/io/checkpoint/manifest.h"

#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hici::io {

class FolderCheck {
 public:
  // Throws hici::Error that names the file when the manifest is damaged or of another step, a file that it lists is
  // missing or has another size, a small one (all but weights) has another hash, or there is a file that readers look
  // for by name (io/known_files.h) and that it does not list. A manifest.json that is a link to nowhere is damaged.
  explicit FolderCheck(std::filesystem::path folder);
  // Stops what is still being hashed.
  ~FolderCheck();
  FolderCheck(const FolderCheck&) = delete;
  FolderCheck& operator=(const FolderCheck&) = delete;

  // A manifest of ours lists the files of the folder.
  bool has_manifest() const { return manifest_.has_value(); }
  // For a file of the folder that is about to be read. One that the manifest does not list is an error.
  void require_listed(const std::filesystem::path& file) const;
  // The same for weights. The result is for SafetensorsFile, which holds what it reads against it. Nothing when there
  // is no manifest, or none with hashes of tensors (version 1; a .bin): then another thread hashes the file whole.
  std::optional<SafetensorsHashes> expect(const std::filesystem::path& file);
  // Waits for other threads; throws what they found.
  void finish();
  // After finish(): the SHA-256 of a file that was hashed whole, which is the one that the manifest lists. Nothing for
  // other files, weights among them that were held against the hashes of their tensors, as not all may have been read.
  std::optional<std::string> sha256_of(const std::filesystem::path& file) const;

 private:
  const ManifestFile* find(const std::filesystem::path& file) const;
  void check_names() const;

  std::filesystem::path folder_;
  std::optional<CheckpointManifest> manifest_;
  std::shared_ptr<std::atomic<bool>> is_stopped_;
  std::vector<std::future<void>> hashing_;
  std::set<std::string> hashed_whole_;  // by name
};

}  // namespace hici::io
