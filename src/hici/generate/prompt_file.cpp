// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/prompt_file.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/data/sft/turns.h"

#include <algorithm>
#include <string_view>

namespace hici::generate {
namespace {

constexpr size_t kMaxFileBytes = size_t{4} << 30;

Prompt parse_prompt(std::string_view line, std::string subject) {
  const nlohmann::json json = parse_json(line, subject);
  const JsonObject object(json, subject);
  HICI_CHECK(object.has("prompt") != object.has("messages"), subject,
             ": has to be an object with either \"prompt\" or \"messages\"");
  Prompt prompt;
  const auto ordered = nlohmann::ordered_json::parse(line);  // again, for the order of the keys
  if (object.has("chat_template_kwargs")) {
    object.object("chat_template_kwargs");
    prompt.variables = ordered["chat_template_kwargs"];
  }
  if (object.has("tools")) {
    nlohmann::ordered_json tools = data::tools_of(ordered["tools"], subject + ": tools");
    if (!tools.is_null()) prompt.variables["tools"] = std::move(tools);
  }
  if (object.has("prompt")) {
    prompt.text = object.string("prompt");
  } else {
    HICI_CHECK(object.at("messages").is_array() && !object.at("messages").empty(), subject,
               ": \"messages\" is no list of objects; write [{\"role\": \"user\", \"content\": \"...\"}]");
    prompt.messages = ordered["messages"];
  }
  prompt.subject = std::move(subject);
  return prompt;
}

}  // namespace

std::vector<Prompt> read_prompt_file(const std::filesystem::path& path) {
  const std::string file = read_file(path, kMaxFileBytes);
  std::vector<Prompt> prompts;
  std::string_view rest = file;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    prompts.push_back(parse_prompt(line, detail::concat(path.string(), ": line ", number)));
  }
  HICI_CHECK(!prompts.empty(), path.string(), ": has no prompts; write a JSON object with \"prompt\" on each line");
  return prompts;
}

}  // namespace hici::generate
