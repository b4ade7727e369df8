// SPDX-License-Identifier: Apache-2.0
// Checks a folder against the manifest.json of a checkpoint, for every reader: evaluation, generation, merging, another
// run. A folder without a manifest is not checked.
//
//   FolderCheck check(folder);   // manifest, names and sizes of all files, hashes of the small ones
//   auto weights = open_weights(folder, ..., &check);   // checked while they are read
//   ...
//   check.finish();   // before results of these files are used
#pragma once

#include "hici/io/checkpoint/manifest.h"

#include <atomic>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace hici::io {

class FolderCheck {
 public:
  // Throws an hici::Error that names the file if the manifest is damaged or of another step; if a listed file is
  // missing or has another size; if a listed file other than weights has another hash; or if an unlisted file has a
  // name that readers look for (io/known_files.h). A manifest.json that is a dangling link is damaged.
  explicit FolderCheck(std::filesystem::path folder);
  // Stops hashing that is still running.
  ~FolderCheck();
  FolderCheck(const FolderCheck&) = delete;
  FolderCheck& operator=(const FolderCheck&) = delete;

  // Whether the folder has a manifest of hici.
  bool has_manifest() const { return manifest_.has_value(); }
  // To be called before a file of the folder is read. A file that the manifest does not list is an error.
  void require_listed(const std::filesystem::path& file) const;
  // The same for weights. SafetensorsFile compares what it reads with the result. nullopt without a manifest, or
  // without hashes of tensors (version 1; a .bin). In the latter case another thread hashes the whole file.
  std::optional<SafetensorsHashes> expect(const std::filesystem::path& file);
  // finish() calls it: for what can be compared only when everything was read.
  void at_finish(std::function<void()> check) { last_checks_.push_back(std::move(check)); }
  // Waits for other threads and throws their errors.
  void finish();
  // After finish(): the SHA-256 of a file that was hashed whole; it equals that of the manifest. nullopt for other
  // files, including weights that were checked by tensor hashes, because some of their tensors may not have been read.
  std::optional<std::string> sha256_of(const std::filesystem::path& file) const;

 private:
  const ManifestFile* find(const std::filesystem::path& file) const;
  void check_names() const;

  std::filesystem::path folder_;
  std::optional<CheckpointManifest> manifest_;
  std::shared_ptr<std::atomic<bool>> is_stopped_;
  std::vector<std::future<void>> hashing_;
  std::set<std::string> hashed_whole_;  // by name
  std::vector<std::function<void()>> last_checks_;
};

}  // namespace hici::io
