// SPDX-License-Identifier: Apache-2.0
// Which of llama.cpp's tokenizers makes the ids of a tokenizer.json. It has no rules in its files, only names of rules
// that it was compiled with, so a tokenizer.json must be exactly one of those.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace hici::io::gguf {

// The end of a refusal.
inline constexpr const char* kWayOut = "; merge without `format` gguf";

struct TokenizerKind {
  std::string model = {};       // tokenizer.ggml.model: "llama" (SentencePiece), "gpt2" (byte-level BPE)
  std::string pre = {};         // tokenizer.ggml.pre: the rule that splits text into words
  bool adds_space = false;      // "llama": in front of every piece of text between special tokens
  bool normalizes_nfc = false;  // which llama.cpp does not do
};

// `tokenizer`: as text::Tokenizer::to_json() has it. What llama.cpp would read otherwise is an error that begins with
// `subject` and names it.
TokenizerKind tokenizer_kind(const nlohmann::json& tokenizer, const std::string& subject);

}  // namespace hici::io::gguf
