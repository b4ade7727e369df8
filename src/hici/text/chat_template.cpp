// SPDX-License-Identifier: Apache-2.0
#include "hici/text/chat_template.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/text/rust_bridge.h"

#include <utility>

namespace hici::text {

struct ChatTemplate::Impl {
  Impl() = default;
  ~Impl() { hici_chat_template_free(handle); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  HiciChatTemplate* handle = nullptr;
  std::string subject;
  NamedSpecialTokens special_tokens;
};

ChatTemplate ChatTemplate::from_source(const std::string& source, const std::string& subject,
                                       const NamedSpecialTokens& special_tokens) {
  const auto impl = std::make_shared<Impl>();
  crate::ErrorText error;
  impl->handle = hici_chat_template_new(crate::view(source), error.out());
  HICI_CHECK(impl->handle, subject, ": cannot be used: ", printable(error.text(), 400));
  impl->subject = subject;
  impl->special_tokens = special_tokens;
  return ChatTemplate(impl);
}

RenderedChat ChatTemplate::render_marked(const ChatMessages& messages, const ChatRequest& request) const {
  nlohmann::ordered_json variables = impl_->special_tokens;
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  variables.update(request.variables);
  variables["messages"] = messages;
  variables["add_generation_prompt"] = request.add_generation_prompt;
  const std::string json = variables.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  crate::Bytes text;
  crate::Spans generation;
  crate::ErrorText error;
  HICI_CHECK(hici_chat_template_render(impl_->handle, crate::view(json), text.out(), generation.out(), error.out()),
             impl_->subject, ": ", printable(error.text(), 400));
  return {text.text(), generation.all()};
}

std::string ChatTemplate::render(const ChatMessages& messages, const ChatRequest& request) const {
  return render_marked(messages, request).text;
}

bool ChatTemplate::marks_generation() const { return hici_chat_template_marks_generation(impl_->handle); }

}  // namespace hici::text
