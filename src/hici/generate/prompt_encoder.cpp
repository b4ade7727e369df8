// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/prompt_encoder.h"

#include "hici/base/error.h"
#include "hici/text/template_check.h"

namespace hici::generate {

text::ChatMessages PromptEncoder::messages_of(const Prompt& prompt) const {
  text::ChatMessages messages = text::ChatMessages::array();
  if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
  if (prompt.messages.is_null()) {
    messages.push_back({{"role", "user"}, {"content", prompt.text}});
    return messages;
  }
  for (const auto& message : prompt.messages) messages.push_back(message);
  return messages;
}

Ids PromptEncoder::encode(const Prompt& prompt) const {
  HICI_CHECK(chat_ || prompt.messages.is_null(), prompt.subject, ": has messages; give `chat`");
  HICI_CHECK(chat_ || prompt.variables.empty(), prompt.subject,
             ": has tools or chat_template_kwargs, which only a chat template can take; give `chat`");
  HICI_CHECK(!prompt.text.empty() || !prompt.messages.is_null(), prompt.subject, ": is empty; write something");
  text::Ids ids;
  if (chat_) {
    // The template writes BOS and all else itself.
    const text::ChatTemplate& chat_template = prompt.has_tools() && chat_for_tools_ ? *chat_for_tools_ : *chat_;
    const text::ChatRequest request{.add_generation_prompt = true, .variables = prompt.variables};
    const text::ChatMessages messages = messages_of(prompt);
    const std::string rendered = chat_template.render(messages, request);
    try {
      text::check_all_is_written(chat_template, messages, request, rendered);
    } catch (const Error& e) {
      fail(prompt.subject, ": ", e.what());
    }
    ids = tokenizer_.encode(rendered, false);
  } else {
    ids = tokenizer_.encode(style_ ? data::make_prompt(*style_, prompt.text, "") : prompt.text, true);
    // An end-of-text token behind the prompt would end it before the answer begins.
    const size_t behind = tokenizer_.special_ids_after().size();
    if (ids.size() >= behind) ids.resize(ids.size() - behind);
  }
  return Ids(ids.begin(), ids.end());
}

int64_t PromptEncoder::num_kept_first() const {
  if (!chat_) return static_cast<int64_t>(tokenizer_.special_ids_before().size());
  return tokenizer_.bos_id() ? 1 : 0;
}

}  // namespace hici::generate
