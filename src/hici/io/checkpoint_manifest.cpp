// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint_manifest.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/base/sha256.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <set>
#include <system_error>

namespace hici::io {
namespace {

constexpr const char* kFormat = "hici-checkpoint";
constexpr int64_t kVersion = 1;
constexpr size_t kMaxManifestBytes = size_t{4} << 20;
constexpr size_t kMaxFiles = 10'000;
constexpr int64_t kMaxInteger = std::numeric_limits<int64_t>::max();

// All keys but the hash; nlohmann/json sorts them, so that the text depends on the values alone.
nlohmann::json body_of(const CheckpointManifest& manifest) {
  nlohmann::json files = nlohmann::json::array();
  for (const ManifestFile& file : manifest.files) {
    files.push_back({{"name", file.name}, {"size", file.size_bytes}, {"sha256", file.sha256}});
  }
  return {{"format", kFormat}, {"version", kVersion}, {"step", manifest.step}, {"files", std::move(files)}};
}

std::string hash_of(const CheckpointManifest& manifest) { return sha256_hex(body_of(manifest).dump()); }

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

ManifestFile parse_file(const JsonObject& entry) {
  ManifestFile file{.name = entry.string("name"),
                    .size_bytes = static_cast<uint64_t>(entry.integer("size", 1, kMaxInteger)),
                    .sha256 = entry.string("sha256")};
  HICI_CHECK(is_plain_name(file.name) && file.name != kManifestName, entry.subject(), ": file name ",
             shown_json(file.name), " is not allowed; expected the plain name of a file in the same folder");
  HICI_CHECK(is_sha256(file.sha256), entry.subject(), ": sha256 ", shown_json(file.sha256),
             " is not 64 lower-case hex digits");
  return file;
}

std::vector<ManifestFile> parse_files(const JsonObject& manifest) {
  const nlohmann::json& entries = manifest.at("files");
  HICI_CHECK(entries.is_array() && !entries.empty() && entries.size() <= kMaxFiles, manifest.subject(), ": files is ",
             shown_json(entries), ", expected a list of 1 to ", kMaxFiles, " files");
  std::vector<ManifestFile> files;
  std::set<std::string> names;
  for (const nlohmann::json& entry : entries) {
    files.push_back(parse_file(JsonObject(entry, manifest.subject() + ": files")));
    HICI_CHECK(names.insert(files.back().name).second, manifest.subject(), ": file ", shown_json(files.back().name),
               " is listed twice");
  }
  return files;
}

void verify_file(const fs::path& path, const ManifestFile& expected, VerifyDepth depth) {
  std::error_code error;
  HICI_CHECK(fs::is_regular_file(path, error), path.string(), ": is missing, and ", kManifestName, " lists it");
  const uint64_t size = fs::file_size(path, error);
  HICI_CHECK(!error && size == expected.size_bytes, path.string(), ": has ", error ? 0 : size, " bytes, ",
             kManifestName, " says ", expected.size_bytes);
  if (depth == VerifyDepth::kSizes) return;
  HICI_CHECK(sha256_hex_of_file(path) == expected.sha256, path.string(), ": its SHA-256 is not the one in ",
             kManifestName, "; the file is damaged");
}

}  // namespace

CheckpointManifest parse_manifest(std::string_view text, const std::string& subject) {
  const nlohmann::json value = parse_json(text, subject, kMaxManifestBytes);
  const JsonObject root(value, subject);
  HICI_CHECK(root.string("format") == kFormat, subject, ": format is ", shown_json(root.at("format")), ", expected \"",
             kFormat, "\"");
  const int64_t version = root.integer("version", 1, kMaxInteger);
  HICI_CHECK(version == kVersion, subject, ": format version ", version, ", this program reads ", kVersion,
             "; use a newer hici");
  CheckpointManifest manifest{.step = root.integer("step", 0, kMaxInteger), .files = parse_files(root)};
  HICI_CHECK(root.string("manifest_sha256") == hash_of(manifest), subject,
             ": its own SHA-256 does not fit what it says; the file is damaged");
  return manifest;
}

std::string manifest_text(const CheckpointManifest& manifest) {
  nlohmann::json root = body_of(manifest);
  root["manifest_sha256"] = hash_of(manifest);
  return root.dump(1) + "\n";
}

CheckpointManifest manifest_of_folder(const fs::path& folder, int64_t step) {
  CheckpointManifest manifest{.step = step, .files = {}};
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    HICI_ASSERT(entry.is_regular_file() && !entry.is_symlink(), entry.path().string(), " is no regular file");
    HICI_ASSERT(entry.file_size() > 0, entry.path().string(), " is empty; nothing in a checkpoint ever is");
    manifest.files.push_back({.name = entry.path().filename().string(),
                              .size_bytes = entry.file_size(),
                              .sha256 = sha256_hex_of_file(entry.path())});
  }
  HICI_ASSERT(!manifest.files.empty(), folder.string(), " holds no file");
  std::sort(manifest.files.begin(), manifest.files.end(),
            [](const ManifestFile& a, const ManifestFile& b) { return a.name < b.name; });
  return manifest;
}

CheckpointManifest verify_checkpoint(const fs::path& checkpoint, VerifyDepth depth) {
  const fs::path file = checkpoint / kManifestName;
  HICI_CHECK(fs::is_directory(checkpoint), checkpoint.string(), ": no such directory; expected a checkpoint");
  HICI_CHECK(fs::exists(file), file.string(), ": no such file; this is no whole checkpoint");
  CheckpointManifest manifest = parse_manifest(read_file(file, kMaxManifestBytes, Links::kCompanion), file.string());
  for (const ManifestFile& listed : manifest.files) verify_file(checkpoint / listed.name, listed, depth);
  return manifest;
}

}  // namespace hici::io
