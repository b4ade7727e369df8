// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/benchmark_prompts.h"

#include "hici/base/error.h"
#include "hici/data/sft/prompt.h"
#include "hici/text/chat_template_files.h"

#include <utility>

namespace hici::eval {
namespace {

std::string written_prompt(ChatForm form, const std::string& text) {
  switch (form) {
    case ChatForm::kVicuna:
      return data::make_prompt(data::PromptStyle::kVicuna, text, "");
    case ChatForm::kLlama2:
      return data::make_prompt(data::PromptStyle::kLlama2, text, "");
    case ChatForm::kLlama2Chat:
      return data::make_prompt(data::PromptStyle::kLlama2Chat, text, "");
    case ChatForm::kAlpaca:
      return data::make_prompt(data::PromptStyle::kAlpaca, text, "");
    case ChatForm::kModel:
      break;
  }
  HICI_ASSERT(false, "a template writes this prompt");
}

}  // namespace

BenchmarkPrompts::BenchmarkPrompts(text::Tokenizer tokenizer, std::optional<ChatForm> form,
                                   const std::filesystem::path& folder)
    : tokenizer_(std::move(tokenizer)), plain_(tokenizer_, std::nullopt, ""), form_(form) {
  if (form_ == ChatForm::kModel) template_ = text::load_chat_template(folder);
}

generate::Ids BenchmarkPrompts::text(const std::string& text, const std::string& subject) const {
  return plain_.encode({text, nullptr, subject});
}

generate::Ids BenchmarkPrompts::chat(const std::string& text, const std::string& subject) const {
  if (!form_) return this->text(text, subject);
  if (!template_) return this->text(written_prompt(*form_, text), subject);
  text::ChatRequest request;
  request.add_generation_prompt = true;
  request.variables["enable_thinking"] = false;  // the answers have room for the answer alone
  text::ChatMessages messages = text::ChatMessages::array();
  messages.push_back({{"role", "user"}, {"content", text}});
  const text::Ids ids = tokenizer_.encode(template_->render(messages, request), false);
  return generate::Ids(ids.begin(), ids.end());
}

std::string BenchmarkPrompts::answer_text(const generate::Answer& answer) const {
  text::Ids ids(answer.ids.begin(), answer.ids.end());
  if (answer.finish_reason == generate::FinishReason::kStopToken) ids.push_back(static_cast<uint32_t>(answer.stop_id));
  return tokenizer_.decode(ids, /*skip_special_tokens=*/true);
}

}  // namespace hici::eval
