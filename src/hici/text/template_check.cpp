// SPDX-License-Identifier: Apache-2.0
#include "hici/text/template_check.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <vector>

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

// Whether the text of each turn's calls is seen to hold them: with other names of functions, other text appears. One
// rendering for all turns; false where that says nothing, as for calls of another form.
std::vector<bool> turns_whose_calls_are_written(const ChatTemplate& chat, const ChatMessages& messages,
                                                const ChatRequest& request) {
  const auto marker = [](size_t turn) { return detail::concat("function_of_turn_", turn, "_"); };
  ChatMessages marked = messages;
  bool has_calls = false;
  for (size_t i = 0; i < marked.size(); ++i) {
    if (!says_something(marked[i], "tool_calls") || !marked[i]["tool_calls"].is_array()) continue;
    has_calls = true;
    for (Json& call : marked[i]["tool_calls"]) {
      if (!call.is_object()) continue;
      Json& function = call.contains("function") && call["function"].is_object() ? call["function"] : call;
      if (function.contains("name")) function["name"] = marker(i);
    }
  }
  std::vector<bool> written(messages.size());
  if (!has_calls) return written;
  try {
    const std::string text = chat.render(marked, request);
    for (size_t i = 0; i < written.size(); ++i) written[i] = text.find(marker(i)) != std::string::npos;
  } catch (const Error&) {  // a template that looks a name up; each turn is tried alone
  }
  return written;
}

}  // namespace

void check_all_is_written(const ChatTemplate& chat, const ChatMessages& messages, const ChatRequest& request,
                          const std::string& rendered) {
  const std::vector<bool> has_written_calls = turns_whose_calls_are_written(chat, messages, request);
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
    if (says_something(message, "tool_calls") && !has_written_calls[i]) {
      ChatMessages others = messages;
      others[i].erase("tool_calls");
      HICI_CHECK(
          !is_the_same_without(chat, others, request, rendered), "turn ", i,
          " has tool_calls, of which the chat template writes nothing; give the model a template that knows them");
    }
  }
}

}  // namespace hici::text
