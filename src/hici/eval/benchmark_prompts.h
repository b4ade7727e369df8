// SPDX-License-Identifier: Apache-2.0
// Prompts of benchmarks: the text as a user's message in one of several chat forms, or unchanged.
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
  kModel,       // the chat template of the model, with enable_thinking false
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
  // No form: chat() equals text(). `folder` must have the chat template for kModel, else an hici::Error.
  BenchmarkPrompts(text::Tokenizer tokenizer, std::optional<ChatForm> form, const std::filesystem::path& folder);

  // The unchanged text, after the special tokens that the tokenizer puts before texts.
  generate::Ids text(const std::string& text, const std::string& subject) const;
  // The text as a user's message. `subject` begins messages.
  generate::Ids chat(const std::string& text, const std::string& subject) const;

  // The text of an answer without special tokens. It includes the token that ended it: transformers' generate() returns
  // that token, and LongBench's predictions contain it if it is a newline.
  std::string answer_text(const generate::Answer& answer) const;

  const text::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  text::Tokenizer tokenizer_;
  generate::PromptEncoder plain_;
  std::optional<ChatForm> form_;
  std::optional<text::ChatTemplate> template_;  // kModel
};

}  // namespace hici::eval
