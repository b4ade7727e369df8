// SPDX-License-Identifier: Apache-2.0
#include "hici/text/template_check.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

namespace hici::text {
namespace {

using Json = ChatMessages;

std::string shown(const Json& value) { return shown_json(nlohmann::json(value)); }

// A template that cannot do without something does write it.
bool is_the_same_without(const ChatTemplate& chat, const ChatMessages& others, const ChatRequest& request,
                         const std::string& rendered) {
  try {
    return chat.render(others, request) == rendered;
  } catch (const Error&) {
    return false;
  }
}

bool says_something(const Json& message, const char* key) {
  const auto found = message.find(key);
  return found != message.end() && !found->is_null() && !(found->is_structured() && found->empty());
}

void check_parts(const Json& content, size_t turn) {
  if (!content.is_array()) return;
  for (const Json& part : content) {
    const bool is_other = part.is_object() && part.contains("type") && part.at("type") != "text";
    HICI_CHECK(!is_other, "turn ", turn, " has a part of type ", shown(part.at("type")), "; only text is read");
  }
}

}  // namespace

void check_all_is_written(const ChatTemplate& chat, const ChatMessages& messages, const ChatRequest& request,
                          const std::string& rendered) {
  for (size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    const Json& role = message.at("role");
    if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
      ChatMessages others = messages;
      others.erase(i);
      HICI_CHECK(!is_the_same_without(chat, others, request, rendered), "turn ", i, " has the role ", shown(role),
                 ", for which the chat template writes nothing; use one that it knows");
    }
    if (says_something(message, "content") && !message.at("content").is_string()) {
      check_parts(message.at("content"), i);
      ChatMessages others = messages;
      others[i]["content"] = "";
      HICI_CHECK(!is_the_same_without(chat, others, request, rendered), "turn ", i, " has as its content ",
                 shown(message.at("content")), ", of which the chat template writes nothing; write it as one text");
    }
    if (says_something(message, "tool_calls")) {
      ChatMessages others = messages;
      others[i].erase("tool_calls");
      HICI_CHECK(
          !is_the_same_without(chat, others, request, rendered), "turn ", i,
          " has tool_calls, of which the chat template writes nothing; give the model a template that knows them");
    }
  }
}

}  // namespace hici::text
