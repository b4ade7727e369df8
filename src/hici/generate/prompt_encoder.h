// SPDX-License-Identifier: Apache-2.0
// Token ids of a prompt.
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
  // With a chat template, a text is the user's message after the message `system` (may be empty). With a style, it is
  // an instruction in that style. Otherwise it is encoded unchanged. Without a template the tokenizer adds its special
  // tokens.
  // `chat_for_tools`: for prompts with tools, where the model has a template of its own for these.
  PromptEncoder(text::Tokenizer tokenizer, std::optional<text::ChatTemplate> chat, std::string system,
                std::optional<data::PromptStyle> style = {}, std::optional<text::ChatTemplate> chat_for_tools = {})
      : tokenizer_(std::move(tokenizer)),
        chat_(std::move(chat)),
        chat_for_tools_(std::move(chat_for_tools)),
        system_(std::move(system)),
        style_(style) {}

  Ids encode(const Prompt& prompt) const;
  // The number of tokens at the beginning of every prompt, for any text; Truncation::kLeft keeps them.
  int64_t num_kept_first() const;

 private:
  text::ChatMessages messages_of(const Prompt& prompt) const;

  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> chat_, chat_for_tools_;
  std::string system_;
  std::optional<data::PromptStyle> style_;
};

}  // namespace hici::generate
