// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/bound_command.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/commands/options/option_groups.h"
#include "hici/commands/options/option_text.h"

#include <algorithm>
#include <filesystem>

namespace hici::commands {
namespace {

// 'hici train_tokenizer' is 'hici train-tokenizer'.
std::string canonical_word(std::string word) {
  std::replace(word.begin(), word.end(), '_', '-');
  return word;
}

bool is_option(const std::string& word) { return !word.empty() && word[0] == '-'; }

}  // namespace

BoundCommand bind_command(const CommandEntry& entry) {
  BoundCommand command{&entry, std::make_unique<CLI::App>(entry.summary, "hici " + entry.name), {}};
  command.app->set_help_flag("-h,--help", "Print this text");
  command.run = entry.bind(*command.app);
  // Where parse_options() finds the file; bound so that help lists it.
  command.app->add_option("--config", "Read options from a file of 'name = value' lines; the command line wins")
      ->type_name("FILE");
  for (CLI::Option* option : command.app->get_options())
    if (!is_inherited(*option)) option->group(option_group(main_name(*option)));
  return command;
}

NamedCommand find_command(const std::vector<std::string>& words) {
  if (words.empty() || is_option(words[0])) return {};
  const std::string first = canonical_word(words[0]);
  NamedCommand found;
  for (const CommandEntry& entry : command_table()) {
    if (entry.name == first) return {&entry, entry.name, 1};
    if (words.size() > 1 && entry.name == first + " " + canonical_word(words[1])) return {&entry, entry.name, 2};
    if (entry.name.rfind(first + " ", 0) == 0) found = {nullptr, first, 1};
  }
  return found;
}

std::vector<std::string> commands_of_group(const std::string& group) {
  std::vector<std::string> names;
  for (const CommandEntry& entry : command_table())
    if (entry.name.rfind(group + " ", 0) == 0) names.push_back(entry.name.substr(group.size() + 1));
  return names;
}

void fail_unknown_command(const std::vector<std::string>& words) {
  const std::string group = find_command(words).name;
  const bool is_in_group = !group.empty() && words.size() > 1 && !is_option(words[1]);
  const std::string typed = is_in_group ? group + " " + words[1] : words[0];
  std::vector<std::string> names;
  for (const CommandEntry& entry : command_table()) names.push_back(entry.name);
  if (!is_in_group) {
    for (const CommandEntry& entry : command_table()) {
      const std::string first = entry.name.substr(0, entry.name.find(' '));
      if (std::find(names.begin(), names.end(), first) == names.end()) names.push_back(first);
    }
  }
  const std::string near = nearest_name(typed, names);
  detail::throw_usage_error("unknown command '" + printable(typed) + "'; " +
                            (near.empty() ? "'hici --help' lists the commands" : "did you mean '" + near + "'?"));
}

}  // namespace hici::commands
