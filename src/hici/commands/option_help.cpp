// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/option_help.h"

#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/option_text.h"

#include <algorithm>
#include <cctype>

namespace hici::commands {

std::string joined_names(const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) names += (names.empty() ? "--" : ", --") + name;
  return names;
}

std::string positional_usage(const CLI::Option& option) {
  std::string name = main_name(option);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  if (option.get_expected_max() > 1) name += "...";
  return option.get_required() ? name : "[" + name + "]";
}

std::string value_text(const CLI::Option& option) {
  if (is_bool(option)) return "BOOL";
  if (option.get_expected_max() == 0 || is_inherited(option)) return "";
  return value_type(option) + (option.get_expected_max() > 1 ? " ..." : "");
}

std::string option_meaning(const CLI::Option& option) {
  std::string text = option.get_description();
  if (option.get_required()) text += " (required)";
  if (!shown_default(option).empty()) text += " [" + shown_default(option) + "]";
  return text;
}

std::string usage_line(const BoundCommand& command) {
  std::string usage = "hici " + command.entry->name;
  for (const CLI::Option* option : command.app->get_options())
    if (option->get_positional()) usage += " " + positional_usage(*option);
  return usage + " [OPTIONS]";
}

std::vector<const CLI::Option*> options_of_group(const CLI::App& app, const std::string& group) {
  return app.get_options([&](const CLI::Option* option) { return option->get_group() == group; });
}

}  // namespace hici::commands
