// SPDX-License-Identifier: Apache-2.0
// From a prompt to token ids.
#pragma once

#include "hici/generate/prompt_file.h"
#include "hici/generate/prompt_length.h"
#include "hici/text/tokenizer.h"

#include <optional>
#include <string>

namespace hici::generate {

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
