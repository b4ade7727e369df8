// SPDX-License-Identifier: Apache-2.0
// Files of a model directory with chat templates and special tokens. Reading them needs no Rust crate.
#pragma once

#include "hici/text/chat_template.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace hici::text {

// The chat templates and special tokens of a model directory.
struct ChatTemplateFiles {
  std::map<std::string, std::string> templates;  // by name; "default" is the usual one
  std::string subject;                           // the file that has them, for messages
  NamedSpecialTokens special_tokens;
};

// chat_template.jinja of a model directory, else chat_template of tokenizer_config.json (text, or a list of {name,
// template}), else of chat_template.json; and the special tokens of tokenizer_config.json and special_tokens_map.json.
// nullopt: no template.
std::optional<ChatTemplateFiles> read_chat_template_files(const std::filesystem::path& model_directory);

// The template named "default", or "tool_use" with `for_tools` if it exists. A directory without a template is an
// error.
ChatTemplate load_chat_template(const std::filesystem::path& model_directory, bool for_tools = false);

}  // namespace hici::text
