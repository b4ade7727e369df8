// SPDX-License-Identifier: Apache-2.0
#include "hici/data/token_sidecar.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"

#include <nlohmann/json.hpp>

#include <limits>
#include <system_error>

namespace hici::data {
namespace {

constexpr const char* kFormat = "hici-token-file";
constexpr int64_t kVersion = 1;
constexpr size_t kMaxSidecarBytes = size_t{8} << 20;  // the list of sources is the only thing in it that grows
constexpr const char* kForced = "forced_";
constexpr int64_t kMaxVocabSize = int64_t{1} << 32;

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

size_t bytes_per_token(TokenType type) { return type == TokenType::kUint16 ? 2 : 4; }

TokenType token_type_for_vocabulary(int64_t vocab_size) {
  return vocab_size <= std::numeric_limits<uint16_t>::max() + 1 ? TokenType::kUint16 : TokenType::kUint32;
}

TokenTypeChoice parse_token_type(const std::string& text, const std::string& subject) {
  const bool is_forced = text.starts_with(kForced);
  return {parse_enum<TokenType>(is_forced ? text.substr(std::string(kForced).size()) : text, subject), is_forced};
}

std::string text_of(const TokenTypeChoice& choice) {
  return std::string(choice.is_forced ? kForced : "").append(name_of(choice.type));
}

std::filesystem::path sidecar_path(const std::filesystem::path& token_file) {
  std::filesystem::path path = token_file;
  return path += ".json";
}

std::string sidecar_to_json(const TokenFileInfo& info) {
  nlohmann::ordered_json json;
  json["format"] = kFormat;
  json["version"] = kVersion;
  json["token_type"] = name_of(info.type);
  json["vocab_size"] = info.vocab_size;
  json["tokens"] = info.num_tokens;
  json["documents"] = info.num_documents;
  json["sha256"] = info.sha256;
  json["tokenizer"] = {{"path", info.tokenizer_path}, {"sha256", info.tokenizer_sha256}};
  json["sources"] = info.sources;
  // File names are bytes; those that are not UTF-8 get a replacement character rather than no sidecar.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

TokenFileInfo sidecar_from_json(const std::string& text, const std::string& subject) {
  constexpr int64_t kMaxCount = std::numeric_limits<int64_t>::max();
  const nlohmann::json value = parse_json(text, subject, kMaxSidecarBytes);
  const JsonObject json(value, subject);
  HICI_CHECK(json.string("format") == kFormat, subject, ": format is ", shown_json(json.at("format")), ", expected '",
             kFormat, "'; this is not the description of a token file: rename it");
  const int64_t version = json.integer("version", 1, kMaxCount);
  HICI_CHECK(version <= kVersion, subject, ": version ", version, " is newer than this hici knows (", kVersion,
             "); update hici");
  TokenFileInfo info;
  info.type = parse_enum<TokenType>(json.string("token_type"), subject + ": token_type");
  info.vocab_size = json.integer("vocab_size", 1, kMaxVocabSize);
  info.num_tokens = json.integer("tokens", 0, kMaxCount);
  info.num_documents = json.integer("documents", 0, kMaxCount);
  info.sha256 = json.string("sha256");
  HICI_CHECK(is_sha256(info.sha256), subject, ": sha256 is no SHA-256 of 64 hex digits");
  const JsonObject tokenizer = json.object("tokenizer");
  info.tokenizer_path = tokenizer.string_or("path", "");
  info.tokenizer_sha256 = tokenizer.string_or("sha256", "");
  if (json.has("sources")) info.sources = json.strings("sources");
  return info;
}

std::optional<TokenFileInfo> read_sidecar(const std::filesystem::path& token_file) {
  const std::filesystem::path path = sidecar_path(token_file);
  if (!is_there(path)) return std::nullopt;
  // Both may be links into one folder (ln -s /data/tokens.bin* .).
  std::error_code problem;
  const std::filesystem::path real = std::filesystem::canonical(path, problem);
  const bool lies_beside =
      !problem && real.parent_path() == std::filesystem::weakly_canonical(token_file, problem).parent_path();
  return sidecar_from_json(read_file(lies_beside ? real : path, kMaxSidecarBytes, Links::kCompanion), path.string());
}

}  // namespace hici::data
