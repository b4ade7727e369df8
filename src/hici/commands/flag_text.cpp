// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/flag_text.h"

#include "hici/base/field_text.h"
#include "hici/commands/bound_command.h"

#include <map>
#include <set>

namespace hici::commands {
namespace {

using Names = std::set<std::string>;

// Options that keep the name of the research code, where the library has another.
const std::map<std::string, std::string>& inherited_names() {
  static const std::map<std::string, std::string> names{{"accumulation_steps", "gradient_accumulation_steps"},
                                                        {"batch_size", "per_device_train_batch_size"},
                                                        {"eval_batch_size", "per_device_eval_batch_size"},
                                                        {"hici_learning_rate", "hici_lr"},
                                                        {"num_epochs", "num_train_epochs"},
                                                        {"num_segments", "num_chunks"},
                                                        {"schedule", "lr_scheduler_type"},
                                                        {"schedule_kwargs", "lr_scheduler_kwargs"},
                                                        {"sequence_length", "model_max_length"}};
  return names;
}

void add_names(Names& names, const CLI::App& command) {
  for (const CLI::Option* option : command.get_options())
    names.insert(option->get_lnames().begin(), option->get_lnames().end());
}

const Names& names_of_all_commands() {
  static const Names names = [] {
    Names all;
    for (const CommandEntry& entry : command_table()) add_names(all, *bind_command(entry).app);
    return all;
  }();
  return names;
}

Names& names_of_running_command() {
  static Names names;
  return names;
}

// "" where no command has such an option.
std::string flag_of(const std::string& field) {
  if (names_of_running_command().contains(field)) return "--" + field;
  const auto inherited = inherited_names().find(field);
  if (inherited != inherited_names().end()) return "--" + inherited->second;
  return names_of_all_commands().contains(field) ? "--" + field : "";
}

}  // namespace

void name_fields_as_options_of(const CLI::App& command) {
  names_of_running_command().clear();
  add_names(names_of_running_command(), command);
  set_log_wording(with_flags);
}

std::string with_flags(const std::string& text) {
  std::string out;
  size_t at = 0;
  for (size_t open; (open = text.find('`', at)) != std::string::npos;) {
    const size_t close = text.find('`', open + 1);
    if (close == std::string::npos) break;
    const std::string flag = flag_of(text.substr(open + 1, close - open - 1));
    out += text.substr(at, open - at) + (flag.empty() ? "`" : flag);
    at = flag.empty() ? open + 1 : close + 1;
  }
  return out + text.substr(at);
}

}  // namespace hici::commands
