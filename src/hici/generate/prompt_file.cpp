// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/prompt_file.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"

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
  if (object.has("prompt")) {
    prompt.text = object.string("prompt");
  } else {
    HICI_CHECK(object.at("messages").is_array() && !object.at("messages").empty(), subject,
               ": \"messages\" is no list of objects; write [{\"role\": \"user\", \"content\": \"...\"}]");
    prompt.messages = nlohmann::ordered_json::parse(line)["messages"];  // again, for the order of the keys
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

text::ChatMessages PromptEncoder::messages_of(const Prompt& prompt) const {
  text::ChatMessages messages = text::ChatMessages::array();
  if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
  if (prompt.messages.is_null()) {
    messages.push_back({{"role", "user"}, {"content", prompt.text}});
    return messages;
  }
  for (const auto& message : prompt.messages) messages.push_back(message);
  return messages;
}

Ids PromptEncoder::encode(const Prompt& prompt) const {
  HICI_CHECK(chat_ || prompt.messages.is_null(), prompt.subject, ": has messages; give --chat");
  HICI_CHECK(!prompt.text.empty() || !prompt.messages.is_null(), prompt.subject, ": is empty; write something");
  text::Ids ids;
  if (chat_) {
    // The template writes BOS and all else itself.
    ids = tokenizer_.encode(chat_->render(messages_of(prompt), {.add_generation_prompt = true}), false);
  } else {
    ids = tokenizer_.encode(prompt.text, true);
    // An end-of-text token behind the prompt would end it before the answer begins.
    const size_t behind = tokenizer_.special_ids_after().size();
    if (ids.size() >= behind) ids.resize(ids.size() - behind);
  }
  return Ids(ids.begin(), ids.end());
}

int64_t PromptEncoder::num_kept_first() const {
  if (!chat_) return static_cast<int64_t>(tokenizer_.special_ids_before().size());
  return tokenizer_.bos_id() ? 1 : 0;
}

}  // namespace hici::generate
