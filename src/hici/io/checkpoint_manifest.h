// SPDX-License-Identifier: Apache-2.0
// manifest.json of a checkpoint: name, size and SHA-256 of every file, written last. A checkpoint is whole when its
// manifest says so of every file; the manifest itself carries a hash of what it says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hici::io {

constexpr const char* kManifestName = "manifest.json";

struct ManifestFile {
  std::string name;  // plain, no folder
  uint64_t size_bytes = 0;
  std::string sha256;  // 64 lower-case hex digits

  bool operator==(const ManifestFile&) const = default;
};

struct CheckpointManifest {
  int64_t step = 0;
  std::vector<ManifestFile> files;  // in the order of the names
};

// Reads what a file of unknown origin says; throws hici::Error that names `subject` and what is wrong.
CheckpointManifest parse_manifest(std::string_view text, const std::string& subject);
std::string manifest_text(const CheckpointManifest& manifest);

// Hashes every file of the folder (all must be regular files, and not empty).
CheckpointManifest manifest_of_folder(const std::filesystem::path& folder, int64_t step);

enum class VerifyDepth {
  kSizes,   // manifest and sizes: cheap
  kHashes,  // every byte
};

// The manifest of a checkpoint that is whole; throws hici::Error that names the first thing that is not. Files that the
// manifest does not know are left to the user.
CheckpointManifest verify_checkpoint(const std::filesystem::path& checkpoint, VerifyDepth depth = VerifyDepth::kHashes);

}  // namespace hici::io
