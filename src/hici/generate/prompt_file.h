// SPDX-License-Identifier: Apache-2.0
// Many prompts in one file, and how a prompt becomes token ids.
#pragma once

#include "hici/generate/prompt_length.h"
#include "hici/text/chat_template.h"
#include "hici/text/tokenizer.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hici::generate {

struct Prompt {
  std::string text;
  text::ChatMessages messages;  // null: the text is all
  std::string subject;          // where it came from, for messages: "prompts.jsonl: line 3"
};

// A JSON object on each line, {"prompt": "..."} or {"messages": [{"role": ..., "content": ...}, ...]}; empty lines are
// left out. Errors name the line.
std::vector<Prompt> read_prompt_file(const std::filesystem::path& path);

class PromptEncoder {
 public:
  // With a chat template a text is what the user says, and `system` (may be empty) stands before it; without one the
  // text is encoded as it is, with what the tokenizer puts around texts.
  PromptEncoder(text::Tokenizer tokenizer, std::optional<text::ChatTemplate> chat, std::string system)
      : tokenizer_(std::move(tokenizer)), chat_(std::move(chat)), system_(std::move(system)) {}

  Ids encode(const Prompt& prompt) const;
  // Tokens that a prompt begins with whatever its text: what Truncation::kLeft keeps.
  int64_t num_kept_first() const;

 private:
  text::ChatMessages messages_of(const Prompt& prompt) const;

  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> chat_;
  std::string system_;
};

}  // namespace hici::generate
