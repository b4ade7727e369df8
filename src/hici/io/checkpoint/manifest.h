// SPDX-License-Identifier: Apache-2.0
// manifest.json of a checkpoint: name, size and SHA-256 of every file, written last; of weights also what can be
// checked while single tensors are read. A checkpoint is whole when its manifest says so of every file; the manifest
// itself carries a hash of what it says.
#pragma once

#include "hici/io/safetensors.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hici::io {

constexpr const char* kManifestName = "manifest.json";
constexpr const char* kManifestFormat = "hici-checkpoint";

struct ManifestFile {
  std::string name;  // plain, no folder
  uint64_t size_bytes = 0;
  std::string sha256;                            // 64 lower-case hex digits
  std::optional<SafetensorsHashes> hashes = {};  // of a .safetensors; not in manifests of version 1

  bool operator==(const ManifestFile&) const = default;
};

struct CheckpointManifest {
  int64_t step = 0;
  std::vector<ManifestFile> files;  // in the order of the names
  int64_t version = 2;
};

// N of "checkpoint-N": digits as we write them, nothing else.
// The name that the folder has where it is, whatever it was given by: a link, ".", a slash at the end.
std::string own_name(const std::filesystem::path& folder);
std::optional<int64_t> checkpoint_step_of_name(const std::string& name);

// Reads what a file of unknown origin says; throws hici::Error that names `subject` and what is wrong.
CheckpointManifest parse_manifest(std::string_view text, const std::string& subject);
std::string manifest_text(const CheckpointManifest& manifest);

// Hashes every file of the folder (all must be regular files, and not empty).
CheckpointManifest manifest_of_folder(const std::filesystem::path& folder, int64_t step);

enum class VerifyDepth {
  kSizes,   // manifest and sizes: cheap
  kHashes,  // every byte
};

// The manifest alone, which must be of the step that a folder "checkpoint-N" has in its name.
CheckpointManifest read_manifest(const std::filesystem::path& checkpoint);

// The SHA-256 that a file was found to have; another one than the manifest says is an hici::Error that names the file.
void check_sha256(const std::filesystem::path& path, const std::string& found, const ManifestFile& expected);
// One file against what the manifest says of it; throws hici::Error that names it.
void verify_file(const std::filesystem::path& path, const ManifestFile& expected, VerifyDepth depth);

// The manifest of a checkpoint that is whole; throws hici::Error that names the first thing that is not. Files that the
// manifest does not know are left to the user.
CheckpointManifest verify_checkpoint(const std::filesystem::path& checkpoint, VerifyDepth depth = VerifyDepth::kHashes);

}  // namespace hici::io
