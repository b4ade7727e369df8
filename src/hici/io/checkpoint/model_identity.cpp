// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/model_identity.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/sha256.h"

#include <limits>
#include <utility>

namespace hici::io {
namespace {

constexpr const char* kFormat = "hici-identity";
constexpr int64_t kIdentityVersion = 1;

std::map<std::string, std::string> parse_strings(const JsonObject& root, const char* key) {
  std::map<std::string, std::string> strings;
  if (!root.has(key)) return strings;
  const JsonObject object = root.object(key);
  for (const auto& [name, ignored] : object.value().items()) strings[name] = object.string(name);
  return strings;
}

}  // namespace

std::string identity_text(const ModelIdentity& identity) {
  nlohmann::ordered_json root{{"format", kFormat}, {"version", kIdentityVersion}};
  if (!identity.tokenizer_sha256.empty()) root["tokenizer_sha256"] = identity.tokenizer_sha256;
  // Version 1 had no such key at first; readers of that time pass over it.
  if (!identity.config.empty()) root["config"] = identity.config;
  if (!identity.base.empty()) root["base"] = identity.base;
  return root.dump(1) + "\n";
}

ModelIdentity parse_identity(std::string_view text, const std::string& subject) {
  const nlohmann::json value = parse_json(text, subject);
  const JsonObject root(value, subject);
  HICI_CHECK(root.string("format") == kFormat, subject, ": format is ", shown_json(root.at("format")), ", expected \"",
             kFormat, "\"");
  const int64_t version = root.integer("version", 1, std::numeric_limits<int64_t>::max());
  HICI_CHECK(version == kIdentityVersion, subject, ": format version ", version, ", this program reads ",
             kIdentityVersion, "; use a newer hici");
  ModelIdentity identity;
  identity.tokenizer_sha256 = root.string_or("tokenizer_sha256", "");
  identity.config = parse_strings(root, "config");
  identity.base = parse_strings(root, "base");
  return identity;
}

void write_identity(const fs::path& folder, const ModelIdentity& identity) {
  write_file_atomically(folder / kIdentityName, identity_text(identity));
}

std::optional<ModelIdentity> read_identity(const fs::path& folder) {
  const fs::path file = folder / kIdentityName;
  if (!is_there(file)) return std::nullopt;
  return parse_identity(read_file(file, kMaxJsonBytes, Links::kCompanion), file.string());
}

std::vector<ConfigDifference> config_differences(const std::map<std::string, std::string>& before,
                                                 const std::map<std::string, std::string>& now) {
  std::vector<ConfigDifference> found;
  for (const auto& [name, value] : before) {
    const auto present = now.find(name);
    if (present != now.end() && present->second != value)
      found.push_back({printable(name), printable(value), printable(present->second)});
  }
  return found;
}

std::string shown_config_differences(const std::map<std::string, std::string>& before,
                                     const std::map<std::string, std::string>& now) {
  std::string shown;
  for (const ConfigDifference& d : config_differences(before, now))
    shown += detail::concat(shown.empty() ? "" : ", ", d.name, " was ", d.before, " and is ", d.now);
  return shown;
}

std::string difference_of(const TensorContents& one, const TensorContents& other) {
  size_t num_common = 0, num_different = 0;
  std::string first;
  for (const auto& [name, content] : one) {
    const auto found = other.find(name);
    if (found == other.end()) continue;
    ++num_common;
    if (found->second == content) continue;
    if (++num_different == 1) first = name;
  }
  if (num_different == 0) return "";
  return detail::concat(num_different, " of ", num_common, " tensors differ, '", printable(first), "' first");
}

TensorContents joined_contents(TensorContents now, const TensorContents& before) {
  now.insert(before.begin(), before.end());
  return now;
}

std::string shown_tokenizer(const std::string& sha256) {
  return "tokenizer.json of SHA-256 " + printable(sha256.substr(0, 12)) + "...";
}

std::string tokenizer_sha256_in(const fs::path& folder) {
  const fs::path file = folder / "tokenizer.json";
  return is_there(file) ? sha256_hex_of_file(file) : "";
}

}  // namespace hici::io
