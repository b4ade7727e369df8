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

// The real name of a folder that is given as a link, as "." or with a slash at the end.
std::string own_name(const std::filesystem::path& folder);
// N of "checkpoint-N". The digits must be as hici writes them.
std::optional<int64_t> checkpoint_step_of_name(const std::string& name);

// Parses an untrusted file. Throws an hici::Error with `subject` and the fault.
CheckpointManifest parse_manifest(std::string_view text, const std::string& subject);
std::string manifest_text(const CheckpointManifest& manifest);

// Hashes every file of the folder. All must be regular files with at least one byte.
CheckpointManifest manifest_of_folder(const std::filesystem::path& folder, int64_t step);

enum class VerifyDepth {
  kSizes,   // manifest and sizes: cheap
  kHashes,  // every byte
};

// The manifest without its files. In a folder "checkpoint-N" it must be of step N.
CheckpointManifest read_manifest(const std::filesystem::path& checkpoint);

// An hici::Error that names the file if `found`, its SHA-256, differs from the manifest.
void check_sha256(const std::filesystem::path& path, const std::string& found, const ManifestFile& expected);
// Compares one file with the manifest. Throws an hici::Error that names the file.
void verify_file(const std::filesystem::path& path, const ManifestFile& expected, VerifyDepth depth);

// The manifest of a checkpoint that is whole; throws hici::Error that names the first thing that is not. Files that the
// manifest does not know are left to the user.
CheckpointManifest verify_checkpoint(const std::filesystem::path& checkpoint, VerifyDepth depth = VerifyDepth::kHashes);

}  // namespace hici::io
