// SPDX-License-Identifier: Apache-2.0
// The small JSON beside a token file (FILE.json): what made it and what it holds. Token files have no header of their
// own, so this is what lets a reader notice a wrong type, a foreign tokenizer or a file that was cut.
#pragma once

#include "hici/base/enum_names.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hici::data {

enum class TokenType { kUint16, kUint32 };

size_t bytes_per_token(TokenType type);
// The spelling in options and in the sidecar.
constexpr EnumNames<TokenType, 2> names_of(TokenType) {
  return {"token type", {{{TokenType::kUint16, "uint16"}, {TokenType::kUint32, "uint32"}}}};
}
// A type as somebody typed it: uint16 or uint32; forced_uint16 and forced_uint32 whatever the file's bytes look like.
struct TokenTypeChoice {
  TokenTypeChoice(TokenType token_type, bool forced = false) : type(token_type), is_forced(forced) {}
  TokenType type;
  bool is_forced;
};
// `subject` names the option in messages.
TokenTypeChoice parse_token_type(const std::string& text, const std::string& subject);
std::string text_of(const TokenTypeChoice& choice);  // and back
// uint16 while every id fits (vocabulary up to 65536), else uint32.
TokenType token_type_for_vocabulary(int64_t vocab_size);

struct TokenFileInfo {
  TokenType type = TokenType::kUint16;
  int64_t vocab_size = 0;  // of the tokenizer, added tokens included; ids are below it
  int64_t num_tokens = 0;
  int64_t num_documents = 0;
  std::string sha256 = {};            // of the token file's bytes
  std::string tokenizer_path = {};    // as the user gave it
  std::string tokenizer_sha256 = {};  // of tokenizer.json
  std::vector<std::string> sources = {};
};

// "tokens.bin" -> "tokens.bin.json".
std::filesystem::path sidecar_path(const std::filesystem::path& token_file);

// The sidecar's text, and back. `subject` names the file in messages; every field is checked for type and range.
std::string sidecar_to_json(const TokenFileInfo& info);
TokenFileInfo sidecar_from_json(const std::string& text, const std::string& subject);

// The sidecar of a token file; nothing when there is none.
std::optional<TokenFileInfo> read_sidecar(const std::filesystem::path& token_file);

}  // namespace hici::data
