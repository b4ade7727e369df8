// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/benchmark_options.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/sha256.h"
#include "hici/commands/command.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/option_values.h"
#include "hici/eval/longbench/tasks.h"
#include "hici/ops/types.h"
#include "hici/text/chat_template_files.h"

#include <filesystem>

namespace hici::commands {
namespace {

namespace fs = std::filesystem;

std::string folder_name(const fs::path& folder) {
  fs::path path = fs::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // a '/' at the end
  const std::string name = path.filename().string();
  return name.starts_with("checkpoint-") ? path.parent_path().filename().string() + "-" + name : name;
}

// Of the model's own template and the special tokens that it may write.
std::string hash_of_chat_template(const fs::path& folder) {
  const std::optional<text::ChatTemplateFiles> files = text::read_chat_template_files(folder);
  if (!files) return "";  // BenchmarkPrompts says so
  return sha256_hex(nlohmann::json(files->templates).dump() + files->special_tokens.dump());
}

}  // namespace

void BenchmarkOptions::bind(CLI::App& app) {
  add_option(app, "output_dir", output_dir, "Folder for the answers; a folder of the model's label is made in it");
  add_option(app, "label", label,
             "Name of the model in the answers' path; empty: that of the folder of --peft_model, else --base_model");
  with_choices(
      add_option(app, "prompt_style", prompt_style, "chat: as what a user says; continue: the text as it stands"),
      {"chat", "continue"});
  with_choices_of<eval::ChatForm>(
      add_option(
          app, "chat_template", chat_template,
          "For chat: model (its own template), vicuna, llama2, llama2_chat, alpaca, or auto: model where it has one, "
          "else llama2"),
      {"auto"});
  add_option(app, "batch_size", batch_size, "Prompts that are answered together", kBatch);
  add_bool(app, "resume", resume, "Keep finished files and answers of work that was stopped, and go on from there");
  answering.bind(app);
}

void BenchmarkOptions::check() {
  HICI_CHECK_USAGE(prompt_style == "chat" || prompt_style == "continue", "--prompt_style: unknown style '",
                   prompt_style, "'; use chat or continue");
  HICI_CHECK_USAGE(prompt_style == "chat" || !chat_template.typed(),
                   "--chat_template: has no effect with --prompt_style continue; leave one of them out");
  if (chat_template.value != "auto") parse_enum<eval::ChatForm>(chat_template.value, "--chat_template");
  HICI_CHECK_USAGE(is_plain_name(model_label()), "--label: '", printable(model_label()),
                   "' is no name for a folder; use one without '/'");
  answering.check();
}

std::string BenchmarkOptions::model_label() const {
  if (!label.empty()) return label;
  return folder_name(answering.peft_model.empty() ? answering.base_model : answering.peft_model);
}

std::optional<eval::ChatForm> BenchmarkOptions::chat_form() const {
  if (prompt_style == "continue") return std::nullopt;
  if (chat_template.value != "auto") return parse_enum<eval::ChatForm>(chat_template.value, "--chat_template");
  return text::read_chat_template_files(answering.tokenizer_folder()) ? eval::ChatForm::kModel
                                                                      : eval::ChatForm::kLlama2;
}

eval::BenchmarkPrompts BenchmarkOptions::prompts(const AnsweringModel& model) const {
  const std::optional<eval::ChatForm> form = chat_form();
  if (form && chat_template.value == "auto") log_info("--chat_template: auto takes ", name_of(*form));
  return {model.tokenizer, form, answering.tokenizer_folder()};
}

nlohmann::json BenchmarkOptions::settings(const std::string& command, const AnsweringModel& model) const {
  const std::optional<eval::ChatForm> form = chat_form();
  nlohmann::json json = answering.settings(model);
  json.update({{"command", command},
               {"label", model_label()},
               {"prompt_style", prompt_style},
               {"chat_template", form ? name_of(*form) : ""}});
  if (form == eval::ChatForm::kModel)
    json["chat_template_sha256"] = hash_of_chat_template(answering.tokenizer_folder());
  return json;
}

void BenchmarkOptions::check_places(const std::vector<std::filesystem::path>& answers, const ReadPlaces& data) const {
  ReadPlaces of_record = data;
  const ReadPlaces model = answering.read_places();
  of_record.insert(of_record.end(), model.begin(), model.end());
  for (const std::filesystem::path& path : answers) {
    check_output_file(path, data);
    check_output_file(record_of(path), of_record);
  }
}

std::filesystem::path record_of(std::filesystem::path answers) { return answers.replace_extension(".json"); }

std::vector<std::string> longbench_dataset_names(const std::vector<std::string>& words) {
  if (words.empty()) return {};
  std::vector<std::string> names = list_items(words, "--datasets");
  for (const std::string& name : names)
    HICI_CHECK_USAGE(eval::find_longbench_task(name), "--datasets: '", name,
                     "' is no data set of LongBench; known: ", eval::longbench_task_names());
  return names;
}

}  // namespace hici::commands
