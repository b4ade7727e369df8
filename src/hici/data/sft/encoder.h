// SPDX-License-Identifier: Apache-2.0
// From a row to token ids, and which of them are learned: those of the answer.
//
// Instructions, as LongLoRA's supervised-fine-tune.py does it: the prompt and the prompt with the answer behind it are
// tokenized each by itself, special tokens in front included, and the first as many ids of the second as the first has
// are not learned. The answer ends with the text of eos_token. (What a tokenizer puts behind a text is left out: the
// answer has its end.)
//
// Conversations: the text of the chat template is tokenized as a whole, without special tokens, which the template
// writes itself. Learned are the tokens that hold any of an assistant's turn. What belongs to a turn is what the
// template's generation blocks wrote; or, for a template without them, what the turn adds to the text of the messages
// before it with add_generation_prompt. Where the text of a turn changes with what follows (Qwen3 leaves out the
// thinking of earlier turns), its end is the start of the message behind it.
#pragma once

#include "hici/data/sft/prompt.h"
#include "hici/data/sft/row.h"
#include "hici/text/chat_template.h"
#include "hici/text/tokenizer.h"

#include <filesystem>
#include <optional>
#include <vector>

namespace hici::data {

struct SftExample {
  text::Ids ids;
  std::vector<bool> is_learned;  // of each id, whether it is predicted and counts in the loss
};

class SftEncoder {
 public:
  // `model`: a directory with tokenizer.json; its chat template is read when the first conversation comes.
  SftEncoder(const std::filesystem::path& model, PromptStyle style);

  // Errors name the row.
  std::vector<SftExample> encode(const std::vector<SftRow>& rows);
  const text::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  std::vector<SftExample> encode_instructions(const std::vector<const SftRow*>& rows) const;
  SftExample encode_chat(const SftRow& row);

  std::filesystem::path model_;
  PromptStyle style_;
  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> chat_template_;
};

}  // namespace hici::data
