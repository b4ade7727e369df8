// SPDX-License-Identifier: Apache-2.0
// Chat templates: render a list of messages to the text format that a model was trained on. The text equals that of
// transformers' apply_chat_template (5.23, tokenize=False). A wrapper of the Rust crate; in a binary built with
// HICI_TEXT=OFF loading a template throws an error that says so.
#pragma once

#include "hici/text/text_span.h"

#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

namespace hici::text {

// A list of objects such as {"role": "user", "content": "..."}; the order of an object's keys is kept.
using ChatMessages = nlohmann::ordered_json;
// bos_token, eos_token, ... by these names; a value that is a list is one of additional tokens.
using NamedSpecialTokens = nlohmann::ordered_json;

struct ChatRequest {
  bool add_generation_prompt = false;  // end with the text that precedes an assistant's answer
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();  // "tools", "enable_thinking", ...
};

struct RenderedChat {
  std::string text;
  std::vector<TextSpan> generation;  // spans of the template's {% generation %} blocks
};

// Immutable and cheap to copy; may be used by several threads at once.
class ChatTemplate {
 public:
  // `subject` names the template in messages.
  static ChatTemplate from_source(const std::string& source, const std::string& subject,
                                  const NamedSpecialTokens& special_tokens);

  // An error of the template is an hici::Error with the template's own message.
  std::string render(const ChatMessages& messages, const ChatRequest& request = {}) const;
  RenderedChat render_marked(const ChatMessages& messages, const ChatRequest& request = {}) const;
  // Whether it marks the assistant's text by {% generation %}.
  bool marks_generation() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace hici::text
