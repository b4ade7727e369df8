// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/row.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/data/json_rows.h"

#include <algorithm>
#include <map>

namespace hici::data {
namespace {

// Names of speakers under "from", and the roles that templates know.
const std::map<std::string, std::string>& roles_of_speakers() {
  static const std::map<std::string, std::string> roles{{"human", "user"},    {"user", "user"},
                                                        {"gpt", "assistant"}, {"assistant", "assistant"},
                                                        {"system", "system"}, {"tool", "tool"}};
  return roles;
}

nlohmann::ordered_json message_of_turn(const nlohmann::json& turn, const std::string& subject) {
  const JsonObject object(turn, subject);
  const std::string speaker = object.string("from");
  const auto role = roles_of_speakers().find(speaker);
  HICI_CHECK(role != roles_of_speakers().end(), subject, ": from ", shown_json(speaker),
             " is no speaker; use human, gpt, system or tool");
  return {{"role", role->second}, {"content", object.string("value")}};
}

nlohmann::ordered_json messages_of(const JsonObject& row, std::string_view json) {
  const std::string key = row.has("messages") ? "messages" : "conversations";
  const nlohmann::json& turns = row.at(key);
  const std::string subject = row.subject() + ": " + key;
  HICI_CHECK(turns.is_array() && !turns.empty(), subject, " is ", shown_json(turns), ", expected a list of turns");
  auto messages = nlohmann::ordered_json::array();
  if (key == "conversations") {
    for (const nlohmann::json& turn : turns) messages.push_back(message_of_turn(turn, subject));
  } else {
    for (const nlohmann::json& turn : turns) JsonObject(turn, subject).string("role");
    // Again, with keys in their order: a template may print what is in a tool call.
    messages = nlohmann::ordered_json::parse(json)[key];
  }
  const bool is_answered =
      std::any_of(messages.begin(), messages.end(), [](const auto& message) { return message["role"] == "assistant"; });
  HICI_CHECK(is_answered, subject, ": has no turn of the assistant, so that nothing can be learned; take the row out");
  return messages;
}

}  // namespace

SftRow parse_sft_row(std::string_view json, const std::string& subject) {
  const nlohmann::json value = parse_json(json, subject, kMaxRowBytes);
  const JsonObject row(value, subject);
  SftRow out;
  out.subject = subject;
  if (row.has("messages") || row.has("conversations")) {
    out.messages = messages_of(row, json);
    return out;
  }
  HICI_CHECK(
      row.has("instruction"), subject,
      ": has no 'instruction', 'messages' or 'conversations'; a row is {\"instruction\", \"input\"?, \"output\"} "
      "or a conversation");
  out.instruction = row.string("instruction");
  out.input = row.string_or("input", "");
  HICI_CHECK(row.has("output"), subject, ": has no 'output', the answer to learn; add it or take the row out");
  out.output = row.string("output");
  HICI_CHECK(!out.output.empty(), subject, ": 'output', the answer to learn, is empty; fill it in or take the row out");
  return out;
}

}  // namespace hici::data
