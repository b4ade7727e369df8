// SPDX-License-Identifier: Apache-2.0
// Many prompts in one file.
#pragma once

#include "hici/text/chat_template.h"

#include <filesystem>
#include <string>
#include <vector>

namespace hici::generate {

struct Prompt {
  std::string text;
  text::ChatMessages messages;  // null: the text is all
  std::string subject;          // where it came from, for messages: "prompts.jsonl: line 3"
  // Further variables of the chat template: chat_template_kwargs, and "tools" (a list) where the line has tools.
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();

  bool has_tools() const { return variables.contains("tools"); }
};

// A JSON object on each line, {"prompt": "..."} or {"messages": [{"role": ..., "content": ...}, ...]}, with "tools" (a
// list of objects, or its JSON as text) and "chat_template_kwargs" for the chat template; empty lines are left out.
// Errors name the line.
std::vector<Prompt> read_prompt_file(const std::filesystem::path& path);

}  // namespace hici::generate
