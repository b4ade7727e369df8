// SPDX-License-Identifier: Apache-2.0
#include "hici/text/chat_template_files.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/text/tokenizer_config.h"

namespace hici::text {
namespace {

constexpr size_t kMaxTemplateBytes = size_t{4} << 20;
constexpr const char* kDefaultName = "default";

std::map<std::string, std::string> templates_of(const nlohmann::json& config, const std::string& subject) {
  const JsonObject object(config, subject);
  if (!object.has("chat_template")) return {};
  const nlohmann::json& value = object.at("chat_template");
  if (value.is_string()) return {{kDefaultName, value.get<std::string>()}};
  HICI_CHECK(value.is_array(), subject, ": chat_template is ", shown_json(value),
             ", expected text or a list of {name, template}");
  std::map<std::string, std::string> templates;
  for (const nlohmann::json& item : value) {
    const JsonObject named(item, subject + ": chat_template");
    templates[named.string("name")] = named.string("template");
  }
  return templates;
}

}  // namespace

std::optional<ChatTemplateFiles> read_chat_template_files(const std::filesystem::path& model_directory) {
  const std::filesystem::path config_file = model_directory / "tokenizer_config.json";
  ChatTemplateFiles files;
  files.special_tokens = read_tokenizer_config(model_directory).special_tokens;

  const std::filesystem::path jinja = model_directory / "chat_template.jinja",
                              json = model_directory / "chat_template.json";
  if (is_there(jinja)) {
    files.subject = jinja.string();
    files.templates = {{kDefaultName, read_file(jinja, kMaxTemplateBytes, Links::kCompanion)}};
    return files;
  }
  for (const std::filesystem::path& file : {config_file, json}) {
    files.subject = file.string();
    files.templates = templates_of(read_json_if_there(file), file.string());
    if (!files.templates.empty()) return files;
  }
  return std::nullopt;
}

ChatTemplate load_chat_template(const std::filesystem::path& model_directory, bool for_tools) {
  const std::optional<ChatTemplateFiles> files = read_chat_template_files(model_directory);
  HICI_CHECK(
      files, model_directory.string(),
      ": has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); add the one that the "
      "model was trained with");
  const bool takes_tools = for_tools && files->templates.contains("tool_use");
  const auto found = files->templates.find(takes_tools ? "tool_use" : kDefaultName);
  HICI_CHECK(found != files->templates.end(), files->subject, ": has no chat template named '", kDefaultName, "'");
  return ChatTemplate::from_source(found->second, files->subject + ": chat template", files->special_tokens);
}

}  // namespace hici::text
