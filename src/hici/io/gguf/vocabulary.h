// SPDX-License-Identifier: Apache-2.0
// The tokens of a tokenizer.json in the order of their ids, as GGUF has them.
#pragma once

#include "hici/io/gguf/tokenizer_kind.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace hici::io::gguf {

// tokenizer.ggml.token_type. Text of a control token is text unless a program asks for special tokens; a user-defined
// one is a token wherever it stands.
enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;        // SentencePiece: what is merged first has the largest
  std::vector<std::string> merges;  // byte-level BPE: "left right" in order
};

// `tokenizer`: as text::Tokenizer::to_json() has it. Rows of the model without a token are unused ones. Errors name
// what llama.cpp would take otherwise: flags of added tokens, merges that scores do not give, ids beyond `rows`.
Vocabulary vocabulary_of(const nlohmann::json& tokenizer, const TokenizerKind& kind, int64_t rows,
                         const std::string& subject);

}  // namespace hici::io::gguf
