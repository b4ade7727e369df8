// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/folder_check.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/sha256.h"
#include "hici/io/checkpoint/training_state.h"
#include "hici/io/known_files.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace hici::io {
namespace {

constexpr size_t kReadAtOnce = size_t{1} << 20;

bool is_weights(const fs::path& file) {
  const std::string extension = file.extension().string();
  return extension == ".safetensors" || extension == ".bin" || extension == ".pt" || extension == ".pth";
}

// Other programs have a manifest.json too. One is ours when the folder is, or when it says so.
bool has_checkpoint_manifest(const fs::path& folder) {
  const fs::path file = folder / kManifestName;
  if (!is_there(file)) return false;
  if (checkpoint_step_of_name(own_name(folder)) || is_there(folder / kTrainingStateName)) return true;
  const nlohmann::json value = read_companion_json(file);
  return !value.is_object() || !value.contains("format") || value["format"] == kManifestFormat;
}

void hash_whole(const fs::path& path, const ManifestFile& expected, const std::atomic<bool>& is_stopped) {
  const MappedFile file(path, Links::kData);
  std::vector<char> piece(static_cast<size_t>(std::min<uint64_t>(file.size(), kReadAtOnce)));
  Sha256 hash;
  for (uint64_t at = 0; at < file.size(); at += piece.size()) {
    if (is_stopped) return;
    const auto size = static_cast<size_t>(std::min<uint64_t>(piece.size(), file.size() - at));
    file.copy(at, piece.data(), size);
    hash.update(piece.data(), size);
  }
  file.check_unchanged();
  check_sha256(path, hash.hex_digest(), expected);
}

}  // namespace

FolderCheck::FolderCheck(fs::path folder)
    : folder_(std::move(folder)), is_stopped_(std::make_shared<std::atomic<bool>>(false)) {
  if (!has_checkpoint_manifest(folder_)) return;
  manifest_ = read_manifest(folder_);
  for (const ManifestFile& file : manifest_->files) {
    const bool waits = is_weights(file.name);
    verify_file(folder_ / file.name, file, waits ? VerifyDepth::kSizes : VerifyDepth::kHashes);
    if (!waits) hashed_whole_.insert(file.name);
  }
  check_names();
}

FolderCheck::~FolderCheck() { *is_stopped_ = true; }  // the futures' destructors wait

const ManifestFile* FolderCheck::find(const fs::path& file) const {
  const std::string name = file.filename().string();
  const auto found = std::find_if(manifest_->files.begin(), manifest_->files.end(),
                                  [&](const ManifestFile& listed) { return listed.name == name; });
  return found == manifest_->files.end() ? nullptr : &*found;
}

// These change what is read as soon as they are there, whoever reads and whatever else there is.
void FolderCheck::check_names() const {
  for (const std::string& name : files_read_by_name())
    if (is_there(folder_ / name)) require_listed(folder_ / name);
}

void FolderCheck::require_listed(const fs::path& file) const {
  HICI_CHECK(!manifest_ || find(file) != nullptr, file.string(), ": is not in ", kManifestName,
             ", so that it is no part of this checkpoint; move it out of the folder");
}

std::optional<SafetensorsHashes> FolderCheck::expect(const fs::path& file) {
  require_listed(file);
  if (!manifest_) return std::nullopt;
  const ManifestFile& listed = *find(file);
  if (listed.hashes) return listed.hashes;
  hashed_whole_.insert(listed.name);
  hashing_.push_back(
      std::async(std::launch::async, [file, listed, stopped = is_stopped_] { hash_whole(file, listed, *stopped); }));
  return std::nullopt;
}

void FolderCheck::finish() {
  for (std::future<void>& hashed : std::exchange(hashing_, {})) hashed.get();
  for (const std::function<void()>& check : std::exchange(last_checks_, {})) check();
}

std::optional<std::string> FolderCheck::sha256_of(const fs::path& file) const {
  HICI_ASSERT(hashing_.empty(), "hashes asked for before finish()");
  const bool is_here = hashed_whole_.contains(file.filename().string()) && folder_ / file.filename() == file;
  return is_here ? std::optional(find(file)->sha256) : std::nullopt;
}

}  // namespace hici::io
