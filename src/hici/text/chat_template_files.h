// SPDX-License-Identifier: Apache-2.0
// What a model directory says of chats; reading it needs no Rust crate.
#pragma once

#include "hici/text/chat_template.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace hici::text {

// What a model directory has for chats.
struct ChatTemplateFiles {
  std::map<std::string, std::string> templates;  // by name; "default" is the usual one
  std::string subject;                           // the file that has them, for messages
  NamedSpecialTokens special_tokens;
};

// chat_template.jinja of a model directory, else chat_template of tokenizer_config.json (text, or a list of {name,
// template}), else of chat_template.json; and the special tokens of tokenizer_config.json and special_tokens_map.json.
// nullopt: there is no template.
std::optional<ChatTemplateFiles> read_chat_template_files(const std::filesystem::path& model_directory);

// The template named "default", or "tool_use" with `for_tools` where there is one. An error when a directory has none.
ChatTemplate load_chat_template(const std::filesystem::path& model_directory, bool for_tools = false);

}  // namespace hici::text
