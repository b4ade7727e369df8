// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/turns.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/data/json_rows.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>

namespace hici::data {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAssistant = "assistant";
constexpr const char* kCall = "a call";  // in the table of speakers: JSON that becomes tool_calls
constexpr std::array<const char*, 5> kFlags{"weight", "train", "training", "trainable", "loss"};

// Names of speakers under "from", and the roles that templates know.
const std::map<std::string, std::string>& roles_of_speakers() {
  static const std::map<std::string, std::string> roles{{"human", "user"},
                                                        {"user", "user"},
                                                        {"gpt", kAssistant},
                                                        {kAssistant, kAssistant},
                                                        {"system", "system"},
                                                        {"tool", "tool"},
                                                        {"observation", "tool"},
                                                        {"function_response", "tool"},
                                                        {"tool_response", "tool"},
                                                        {"function_call", kCall},
                                                        {"tool_call", kCall},
                                                        // Of the models whose answers people shared.
                                                        {"chatgpt", kAssistant},
                                                        {"bing", kAssistant},
                                                        {"bard", kAssistant}};
  return roles;
}

std::string shown(const Json& value) { return shown_json(nlohmann::json(value)); }

// nullptr: the turn has no such key, or null.
const Json* member(const Json& turn, const char* key) {
  const auto found = turn.find(key);
  return found == turn.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const Json& value, const std::string& subject, const char* key) {
  HICI_CHECK(value.is_string(), subject, ": ", key, " is ", shown(value), ", expected text");
  return value.get<std::string>();
}

Json parsed(const std::string& text, const std::string& subject) {
  parse_json(text, subject, kMaxRowBytes);
  return Json::parse(text);
}

// One {"name", "arguments"} of a turn that calls a function.
Json tool_call_of(const Json& call, const std::string& subject) {
  const Json* const name = call.is_object() ? member(call, "name") : nullptr;
  HICI_CHECK(name && name->is_string(), subject, ": holds ", shown(call),
             ", expected {\"name\", \"arguments\"}; or write the turn as a message with tool_calls");
  Json function = Json::object();
  function["name"] = *name;
  for (const char* key : {"arguments", "parameters"}) {
    if (member(call, key) && !function.contains("arguments")) function["arguments"] = call[key];
  }
  if (!function.contains("arguments")) function["arguments"] = Json::object();
  return {{"type", "function"}, {"function", std::move(function)}};
}

Json tool_calls_of(const std::string& text, const std::string& subject) {
  const Json calls = parsed(text, subject);
  Json list = Json::array();
  if (calls.is_array()) {
    HICI_CHECK(!calls.empty(), subject, ": is an empty list; take the turn out");
    for (const Json& call : calls) list.push_back(tool_call_of(call, subject));
  } else {
    list.push_back(tool_call_of(calls, subject));
  }
  return list;
}

// The turn's text is under "content" or "value".
const Json* text_in(const Json& turn, const std::string& subject) {
  const Json *content = member(turn, "content"), *value = member(turn, "value");
  HICI_CHECK(!content || !value || *content == *value, subject, ": has content and value, which differ; take one out");
  return content ? content : value;
}

// The keys that a chat template knows, of a turn in one of ShareGPT's spellings. `role`: kCall among them.
Json translated(const Json& turn, const std::string& role, const std::string& subject) {
  const Json* const text = text_in(turn, subject);
  HICI_CHECK(text || (member(turn, "role") && role != kCall), subject,
             ": has no 'value', the text of the turn; fill it in or take the row out");
  Json message = Json::object();
  message["role"] = role == kCall ? kAssistant : role;
  if (role == kCall) {
    message["content"] = "";
    message["tool_calls"] = tool_calls_of(text_of(*text, subject, "the call"), subject);
  } else {
    message["content"] = text ? *text : Json(nullptr);
    if (!member(turn, "role")) text_of(*text, subject, "value");
  }
  return message;
}

Json message_of(const Json& turn, const std::string& subject) {
  HICI_CHECK(turn.is_object(), subject, ": is ", shown(turn), ", expected an object with role and content");
  const Json *role = member(turn, "role"), *from = member(turn, "from");
  HICI_CHECK(role || from, subject,
             ": has no 'role' (or 'from'); a turn is {\"role\", \"content\"} or {\"from\", \"value\"}");
  const std::string speaker = role ? text_of(*role, subject, "role") : text_of(*from, subject, "from");
  const auto known = roles_of_speakers().find(speaker);
  const bool is_known = known != roles_of_speakers().end();
  HICI_CHECK(role || is_known, subject, ": from ", shown_json(speaker),
             " is no speaker; use human, gpt, system, tool, function_call or observation");
  const bool is_message = role && (!is_known || known->second == speaker) && !member(turn, "value");
  if (is_message) return turn;
  Json message = translated(turn, is_known ? known->second : speaker, subject);
  for (const auto& [key, value] : turn.items()) {
    if (key != "from" && key != "value" && !message.contains(key)) message[key] = value;
  }
  return message;
}

// What other programs call the flag of a turn, some of them the other way round.
constexpr std::array<const char*, 8> kOtherFlags{"calculate_loss", "mask",          "masked",
                                                 "should_train",   "train_on_turn", "training_detail",
                                                 "train_detail",   "loss_mask"};

std::optional<bool> flag_of(const Json& message, const std::string& subject) {
  for (const char* key : kOtherFlags)
    HICI_CHECK(!member(message, key), subject, ": ", key,
               " says in other programs which turns are learned; write it as train, true or false");
  std::optional<bool> flag;
  for (const char* key : kFlags) {
    const Json* const value = member(message, key);
    if (!value) continue;
    const bool is_number = value->is_number() && (*value == 0 || *value == 1);
    HICI_CHECK(value->is_boolean() || is_number, subject, ": ", key, " is ", shown(*value),
               ", expected 0 or 1, true or false; a turn is learned or not");
    const bool is_learned = value->is_boolean() ? value->get<bool>() : *value == 1;
    HICI_CHECK(!flag || *flag == is_learned, subject, ": ", key, " says another thing than the turn's other flag");
    flag = is_learned;
  }
  return flag;
}

// Tables keep what is nested as text.
bool is_text_of(const Json& value, char bracket) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  const size_t start = text.find_first_not_of(" \t\r\n");
  return start != std::string::npos && text[start] == bracket;
}

}  // namespace

Turns turns_of(const Json& list, const std::string& subject) {
  if (is_text_of(list, '[')) return turns_of(parsed(list.get_ref<const std::string&>(), subject), subject);
  HICI_CHECK(list.is_array() && !list.empty(), subject, " is ", shown(list),
             ", expected a list of turns (or its JSON as text)");
  Turns turns{Json::array(), {}};
  for (const Json& turn : list) {
    Json message = message_of(turn, subject);
    const bool is_assistant = message["role"] == kAssistant;
    const std::optional<bool> flag = flag_of(message, subject);
    HICI_CHECK(is_assistant || !flag.value_or(false), subject, ": turn ", turns.is_learned.size(), " of ",
               shown(message["role"]), " is marked as learned; only turns of the assistant can be");
    turns.is_learned.push_back(is_assistant && flag.value_or(true));
    turns.messages.push_back(std::move(message));
  }
  return turns;
}

Json tools_of(const Json& value, const std::string& subject) {
  if (value.is_null()) return nullptr;
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return text.find_first_not_of(" \t\r\n") == std::string::npos ? Json(nullptr)
                                                                  : tools_of(parsed(text, subject), subject);
  }
  HICI_CHECK(value.is_array(), subject, " is ", shown(value), ", expected a list of objects (or its JSON as text)");
  Json tools = Json::array();
  for (const Json& tool : value) {
    tools.push_back(is_text_of(tool, '{') ? parsed(tool.get_ref<const std::string&>(), subject) : tool);
    HICI_CHECK(tools.back().is_object(), subject, " is ", shown(value),
               ", expected a list of objects (or its JSON as text)");
  }
  return tools;
}

}  // namespace hici::data
