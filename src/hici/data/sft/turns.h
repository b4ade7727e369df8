// SPDX-License-Identifier: Apache-2.0
// Turns of a conversation, in the spellings that data sets have, as the messages of a chat template.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace hici::data {

struct Turns {
  nlohmann::ordered_json messages;  // a list of objects with "role"; what else a turn has is kept
  std::vector<bool> is_learned;     // of each: a turn of the assistant, unless a flag says no
};

// A turn is {"role", "content", ...} or ShareGPT's {"from", "value", ...}; a list may mix both. Speakers: human, user;
// gpt, assistant; system; tool, observation, function_response, tool_response; and function_call or tool_call, whose
// text is JSON, {"name", "arguments"} or a list of such, and becomes the assistant's tool_calls. A role that is none of
// ShareGPT's goes to the template as it is.
//
// weight (0 or 1), train, training, trainable, loss (true or false): whether the turn is learned. Such a flag on a turn
// of another than the assistant may only say no.
//
// `list`: the turns, or their JSON as text; `subject` names it in messages, with the row.
Turns turns_of(const nlohmann::ordered_json& list, const std::string& subject);

// A list of tools as a row has it: a list of objects, or the text of one or of each. null, "" and blank text: null, no
// tools.
nlohmann::ordered_json tools_of(const nlohmann::ordered_json& value, const std::string& subject);

}  // namespace hici::data
