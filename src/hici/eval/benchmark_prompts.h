// SPDX-License-Identifier: Apache-2.0
// How the texts of benchmarks stand before a model: as what a user says to it, in one of several forms, or as they are.
#pragma once

#include "hici/base/enum_names.h"
#include "hici/generate/generator.h"
#include "hici/generate/prompt_encoder.h"
#include "hici/text/chat_template.h"
#include "hici/text/tokenizer.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace hici::eval {

enum class ChatForm {
  kModel,       // the chat template of the model, without thinking aloud (enable_thinking is false)
  kVicuna,      // "A chat between ... USER: {text} ASSISTANT:", vicuna_v1.1 of FastChat, as in LongEval
  kLlama2,      // "[INST]{text}[/INST]", as in LongBench and `hici sft --prompt_style llama2`
  kLlama2Chat,  // with Llama-2's system prompt
  kAlpaca,      // "Below is an instruction ... ### Response:"
};

constexpr EnumNames<ChatForm, 5> names_of(ChatForm) {
  return {"template",
          {{{ChatForm::kModel, "model"},
            {ChatForm::kVicuna, "vicuna"},
            {ChatForm::kLlama2, "llama2"},
            {ChatForm::kLlama2Chat, "llama2_chat"},
            {ChatForm::kAlpaca, "alpaca"}}}};
}

class BenchmarkPrompts {
 public:
  // No form: chat() is text() too. `folder` has the chat template for kModel; none there is an hici::Error.
  BenchmarkPrompts(text::Tokenizer tokenizer, std::optional<ChatForm> form, const std::filesystem::path& folder);

  // The text as it stands, with what the tokenizer puts in front of texts.
  generate::Ids text(const std::string& text, const std::string& subject) const;
  // The text as what a user says. `subject` begins messages.
  generate::Ids chat(const std::string& text, const std::string& subject) const;

  // The text of an answer, special tokens left out. The token that ended it counts as written: transformers' generate()
  // returns it, and where it is a newline it is in LongBench's predictions.
  std::string answer_text(const generate::Answer& answer) const;

  const text::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  text::Tokenizer tokenizer_;
  generate::PromptEncoder plain_;
  std::optional<ChatForm> form_;
  std::optional<text::ChatTemplate> template_;  // kModel
};

}  // namespace hici::eval
