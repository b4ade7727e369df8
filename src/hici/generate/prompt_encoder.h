// SPDX-License-Identifier: Apache-2.0
// From a prompt to token ids.
#pragma once

#include "hici/data/sft/prompt.h"
#include "hici/generate/prompt_file.h"
#include "hici/generate/prompt_length.h"
#include "hici/text/tokenizer.h"

#include <optional>
#include <string>

namespace hici::generate {

class PromptEncoder {
 public:
  // With a chat template a text is what the user says, and `system` (may be empty) stands before it; with a style it is
  // an instruction in that style; without either it is encoded as it is. Without a template the tokenizer puts around
  // the text what it puts around texts.
  PromptEncoder(text::Tokenizer tokenizer, std::optional<text::ChatTemplate> chat, std::string system,
                std::optional<data::PromptStyle> style = {})
      : tokenizer_(std::move(tokenizer)), chat_(std::move(chat)), system_(std::move(system)), style_(style) {}

  Ids encode(const Prompt& prompt) const;
  // Tokens that a prompt begins with whatever its text: what Truncation::kLeft keeps.
  int64_t num_kept_first() const;

 private:
  text::ChatMessages messages_of(const Prompt& prompt) const;

  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> chat_;
  std::string system_;
  std::optional<data::PromptStyle> style_;
};

}  // namespace hici::generate
