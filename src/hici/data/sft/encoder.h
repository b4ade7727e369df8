// SPDX-License-Identifier: Apache-2.0
// Token ids of a row, and which of them have a label: those of the answer.
//
// Instructions, as in LongLoRA's supervised-fine-tune.py: the special tokens before the text, then the tokens of
// prompt + answer + eos_token as one text. The prompt is tokenized alone; if it has n tokens, the first n tokens of
// prompt + answer get no label. Special tokens that the tokenizer puts after a text are omitted: the answer ends with
// eos_token.
//
// Prompt and completion as texts, as in TRL's SFTTrainer: prompt + completion, with eos_token behind unless the
// completion ends with it, and with all special tokens that the tokenizer adds. Tokens that the tokens of the prompt
// alone begin with too get no label.
//
// Conversations: the chat template renders the whole conversation. The text is tokenized without special tokens, since
// the template contains them. A token has a label if any of its bytes belong to an assistant turn that is learned
// (sft/spans.h). With prompt and completion as messages, the tokens that differ from those of the prompt rendered with
// add_generation_prompt get labels, as in TRL.
#pragma once

#include "hici/data/sft/prompt.h"
#include "hici/data/sft/row.h"
#include "hici/text/chat_template.h"
#include "hici/text/tokenizer.h"

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hici::data {

struct SftExample {
  text::Ids ids;
  std::vector<bool> is_learned;  // per id: whether it has a label
};

class SftEncoder {
 public:
  // `model`: a directory with tokenizer.json. Its chat template is loaded at the first conversation.
  SftEncoder(const std::filesystem::path& model, PromptStyle style);

  // Errors name the row.
  std::vector<SftExample> encode(const std::vector<SftRow>& rows);
  const text::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  std::vector<SftExample> encode_texts(const std::vector<const SftRow*>& rows) const;
  SftExample encode_chat(const SftRow& row);
  SftExample encode_answer_to_chat(const SftRow& row, const text::ChatTemplate& chat_template);
  const text::ChatTemplate& template_for(const SftRow& row);
  void warn_of_tools_left_out(const SftRow& row, const text::ChatTemplate& chat_template, const std::string& text);
  void warn_of_keys_left_out(const SftRow& row, const text::ChatTemplate& chat_template, const std::string& text);

  std::filesystem::path model_;
  PromptStyle style_;
  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> chat_template_, template_for_tools_;
  bool checked_tools_ = false;
  std::set<std::string> checked_keys_;  // of messages
};

}  // namespace hici::data
