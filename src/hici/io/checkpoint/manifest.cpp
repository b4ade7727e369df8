// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/manifest.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/base/sha256.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <system_error>

namespace hici::io {
namespace {

constexpr int64_t kNewestVersion = 2;
constexpr int64_t kVersionWithHashes = 2;
constexpr size_t kMaxManifestBytes = size_t{64} << 20;  // some 100 bytes for each tensor
constexpr size_t kMaxFiles = 10'000;
constexpr int64_t kMaxManifestNumber = std::numeric_limits<int64_t>::max();

// All keys but the hash; nlohmann/json sorts them, so that the text depends on the values alone.
nlohmann::json body_of(const CheckpointManifest& manifest) {
  nlohmann::json files = nlohmann::json::array();
  for (const ManifestFile& file : manifest.files) {
    files.push_back({{"name", file.name}, {"size", file.size_bytes}, {"sha256", file.sha256}});
    if (file.hashes) files.back()["xxh3"] = {{"header", file.hashes->header}, {"tensors", file.hashes->tensors}};
  }
  return {
      {"format", kManifestFormat}, {"version", manifest.version}, {"step", manifest.step}, {"files", std::move(files)}};
}

std::string hash_of(const CheckpointManifest& manifest) { return sha256_hex(body_of(manifest).dump()); }

bool is_hex(const std::string& text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string parse_content_hash(const JsonObject& object, const std::string& key) {
  std::string hash = object.string(key);
  HICI_CHECK(is_hex(hash, 32), object.subject(), ": ", printable(key), " ", shown_json(hash),
             " is not 32 lower-case hex digits");
  return hash;
}

SafetensorsHashes parse_hashes(const JsonObject& object) {
  SafetensorsHashes hashes{parse_content_hash(object, "header"), {}};
  const JsonObject tensors = object.object("tensors");
  for (const auto& [name, ignored] : tensors.value().items()) hashes.tensors[name] = parse_content_hash(tensors, name);
  return hashes;
}

ManifestFile parse_file(const JsonObject& entry, int64_t version) {
  ManifestFile file{.name = entry.string("name"),
                    .size_bytes = static_cast<uint64_t>(entry.integer("size", 1, kMaxManifestNumber)),
                    .sha256 = entry.string("sha256")};
  HICI_CHECK(is_plain_name(file.name) && file.name != kManifestName, entry.subject(), ": file name ",
             shown_json(file.name), " is not allowed; expected the plain name of a file in the same folder");
  HICI_CHECK(is_hex(file.sha256, 64), entry.subject(), ": sha256 ", shown_json(file.sha256),
             " is not 64 lower-case hex digits");
  if (version >= kVersionWithHashes && entry.has("xxh3")) file.hashes = parse_hashes(entry.object("xxh3"));
  return file;
}

std::vector<ManifestFile> parse_files(const JsonObject& manifest, int64_t version) {
  const nlohmann::json& entries = manifest.at("files");
  HICI_CHECK(entries.is_array() && !entries.empty() && entries.size() <= kMaxFiles, manifest.subject(), ": files is ",
             shown_json(entries), ", expected a list of 1 to ", kMaxFiles, " files");
  std::vector<ManifestFile> files;
  std::set<std::string> names;
  for (const nlohmann::json& entry : entries) {
    files.push_back(parse_file(JsonObject(entry, manifest.subject() + ": files"), version));
    HICI_CHECK(names.insert(files.back().name).second, manifest.subject(), ": file ", shown_json(files.back().name),
               " is listed twice");
  }
  return files;
}

ManifestFile describe_file(const fs::path& path) {
  ManifestFile file{.name = path.filename().string(), .size_bytes = fs::file_size(path), .sha256 = ""};
  if (path.extension() != ".safetensors") {
    file.sha256 = sha256_hex_of_file(path);
    return file;
  }
  Sha256 hash;
  file.hashes = hash_safetensors(path, [&](const void* data, size_t size) { hash.update(data, size); });
  file.sha256 = hash.hex_digest();
  return file;
}

}  // namespace

std::string own_name(const fs::path& folder) {
  std::error_code error;
  const fs::path path = fs::canonical(folder, error);
  return (error ? folder.lexically_normal() : path).filename().string();
}

std::optional<int64_t> checkpoint_step_of_name(const std::string& name) {
  constexpr std::string_view kPrefix = "checkpoint-";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string_view digits = std::string_view(name).substr(kPrefix.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  const bool is_ours = error == std::errc() && end == digits.data() + digits.size() && std::to_string(step) == digits;
  return is_ours && step >= 0 ? std::optional(step) : std::nullopt;
}

void check_sha256(const fs::path& path, const std::string& found, const ManifestFile& expected) {
  HICI_CHECK(found == expected.sha256, path.string(), ": its SHA-256 is not the one in ", kManifestName, kNotAsListed);
}

void verify_file(const fs::path& path, const ManifestFile& expected, VerifyDepth depth) {
  std::error_code error;
  HICI_CHECK(fs::is_regular_file(path, error), path.string(), ": is missing, and ", kManifestName, " lists it");
  const uint64_t size = fs::file_size(path, error);
  HICI_CHECK(!error && size == expected.size_bytes, path.string(), ": has ", error ? 0 : size, " bytes, ",
             kManifestName, " says ", expected.size_bytes, kNotAsListed);
  if (depth == VerifyDepth::kSizes) return;
  check_sha256(path, sha256_hex_of_file(path), expected);
}

CheckpointManifest parse_manifest(std::string_view text, const std::string& subject) {
  const nlohmann::json value = parse_json(text, subject, kMaxManifestBytes);
  const JsonObject root(value, subject);
  HICI_CHECK(root.string("format") == kManifestFormat, subject, ": format is ", shown_json(root.at("format")),
             ", expected \"", kManifestFormat, "\"");
  const int64_t version = root.integer("version", 1, kMaxManifestNumber);
  HICI_CHECK(version <= kNewestVersion, subject, ": format version ", version, ", this program reads up to ",
             kNewestVersion, "; use a newer hici");
  CheckpointManifest manifest{
      .step = root.integer("step", 0, kMaxManifestNumber), .files = parse_files(root, version), .version = version};
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
    manifest.files.push_back(describe_file(entry.path()));
  }
  HICI_ASSERT(!manifest.files.empty(), folder.string(), " holds no file");
  std::sort(manifest.files.begin(), manifest.files.end(),
            [](const ManifestFile& a, const ManifestFile& b) { return a.name < b.name; });
  return manifest;
}

CheckpointManifest read_manifest(const fs::path& checkpoint) {
  const fs::path file = checkpoint / kManifestName;
  HICI_CHECK(fs::is_directory(checkpoint), checkpoint.string(), ": no such directory; expected a checkpoint");
  HICI_CHECK(fs::exists(file), file.string(), ": no such file; this is no whole checkpoint");
  CheckpointManifest manifest = parse_manifest(read_file(file, kMaxManifestBytes, Links::kCompanion), file.string());
  const std::string name = own_name(checkpoint);
  const std::optional<int64_t> step = checkpoint_step_of_name(name);
  HICI_CHECK(!step || *step == manifest.step, file.string(), ": is of step ", manifest.step, ", the folder is named ",
             name, "; give the folder its own name back");
  return manifest;
}

CheckpointManifest verify_checkpoint(const fs::path& checkpoint, VerifyDepth depth) {
  CheckpointManifest manifest = read_manifest(checkpoint);
  for (const ManifestFile& listed : manifest.files) verify_file(checkpoint / listed.name, listed, depth);
  return manifest;
}

}  // namespace hici::io
