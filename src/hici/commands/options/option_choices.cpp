// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/option_choices.h"

#include "hici/commands/options/option_text.h"

#include <sstream>

namespace hici::commands {

// CLI11 keeps one text of our own with an option, the name of its type: "TEXT:hici|full|s2".
CLI::Option* with_choices(CLI::Option* option, const std::vector<std::string>& choices) {
  std::string type = option->get_type_name();
  for (size_t i = 0; i < choices.size(); ++i) type += (i == 0 ? ':' : '|') + choices[i];
  return option->type_name(type);
}

std::vector<std::string> choices_of(const CLI::Option& option) {
  if (is_bool(option)) return {"True", "False"};
  const std::string type = option.get_type_name();
  std::vector<std::string> choices;
  const size_t colon = type.find(':');
  if (colon == std::string::npos) return choices;
  std::istringstream list(type.substr(colon + 1));
  for (std::string choice; std::getline(list, choice, '|');) choices.push_back(choice);
  return choices;
}

std::string value_type(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type.substr(0, type.find(':'));
}

}  // namespace hici::commands
