// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/help.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/commands/bound_command.h"
#include "hici/commands/completion.h"
#include "hici/commands/foreign_scripts.h"
#include "hici/commands/man_page.h"
#include "hici/commands/option_help.h"
#include "hici/commands/options/option_groups.h"
#include "hici/commands/options/option_text.h"
#include "hici/config/model_config_keys.h"
#include "hici/io/generation_config.h"
#include "hici/io/peft_config.h"
#include "hici/text/tokenizer_config.h"

#include <algorithm>
#include <sstream>

namespace hici::commands {
namespace {

constexpr size_t kTextColumn = 30;  // where explanations begin
constexpr size_t kLineWidth = 100;
constexpr const char* kAbout = "hici: long-context fine-tuning of Llama-2, Llama-3 and Qwen3 with HiCI attention";

// "  head      text", the text wrapped in its column; a head that is too long has a line of its own.
void add_entry(std::string& out, const std::string& head, const std::string& text) {
  std::string line = "  " + head;
  if (line.size() + 2 > kTextColumn) {
    out += line + "\n";
    line.clear();
  }
  line.resize(kTextColumn, ' ');
  std::istringstream words(text);
  bool is_begin = true;
  for (std::string word; words >> word; is_begin = false) {
    if (!is_begin && line.size() + 1 + word.size() > kLineWidth) {
      out += line + "\n";
      line.assign(kTextColumn, ' ');
      is_begin = true;
    }
    line += (is_begin ? "" : " ") + word;
  }
  out += line + "\n";
}

std::string option_head(const CLI::Option& option) {
  if (option.get_lnames().empty()) return positional_usage(option);
  const std::string value = value_text(option);
  return joined_names(option) + (value.empty() ? "" : " " + value);
}

std::string command_help(const CommandEntry& entry) {
  const BoundCommand command = bind_command(entry);
  std::string out = entry.summary + "\nUsage: " + usage_line(command) + "\n";
  const CLI::App& app = *command.app;
  for (const std::string& group : option_group_names()) {
    const auto options = options_of_group(app, group);
    if (!options.empty()) out += "\n" + group + ":\n";
    for (const CLI::Option* option : options) add_entry(out, option_head(*option), option_meaning(*option));
  }
  return out;
}

// Of all commands, or of those of one group.
std::string list_of_commands(const std::string& group) {
  std::string out;
  for (const CommandEntry& entry : command_table())
    if (group.empty() || entry.name.rfind(group + " ", 0) == 0) add_entry(out, entry.name, entry.summary);
  return out;
}

std::string root_help() {
  std::string out = std::string(kAbout) + "\nUsage: hici COMMAND [OPTIONS]\n\nCommands:\n" + list_of_commands("");
  out += "\nOptions:\n";
  add_entry(out, "help [COMMAND]", "The options of a command; 'hici COMMAND --help' is the same");
  add_entry(out, "-h, --help", "Print this text");
  add_entry(out, "--completion SHELL", "Print the completion of a shell, bash or zsh");
  add_entry(out, "--man", "Print the manual page; man -l shows it");
  add_entry(out, "-V, --version", "Print version, git revision, LibTorch and CUDA of this program");
  return out;
}

std::string group_help(const std::string& group) {
  return "Usage: hici " + group + " COMMAND [OPTIONS]\n\nCommands:\n" + list_of_commands(group) + "\n'hici help " +
         group + " COMMAND' shows the options of one.\n";
}

std::string help_of(const NamedCommand& named) {
  return named.entry ? command_help(*named.entry) : named.name.empty() ? root_help() : group_help(named.name);
}

bool asks_for_help(const std::string& word) { return word == "--help" || word == "-h"; }

// `words` are behind `help`.
std::string help_about(const std::vector<std::string>& words) {
  const NamedCommand named = find_command(words);
  if (named.num_words == words.size() || asks_for_help(words[named.num_words])) return help_of(named);
  HICI_CHECK_USAGE(named.entry == nullptr, "unexpected argument '", printable(words[named.num_words]), "'; 'hici help ",
                   named.name, "' shows its options");
  fail_unknown_command(words);
}

// An initialiser of the launcher's table: the words, and what it prints for them.
std::string launcher_entry(const std::string& words, const std::string& text) {
  return "{R\"hici(" + words + ")hici\", R\"hici(" + text + ")hici\"},\n";
}

// All that apps/hici/launcher.cpp answers by itself, as C++ that it includes.
std::string launcher_texts() {
  std::string out = launcher_entry("", root_help()) + launcher_entry("--version", version_text());
  std::string last_group;
  for (const CommandEntry& entry : command_table()) {
    out += launcher_entry(entry.name, command_help(entry));
    const size_t space = entry.name.find(' ');
    const std::string group = space == std::string::npos ? "" : entry.name.substr(0, space);
    if (!group.empty() && group != last_group) out += launcher_entry(group, group_help(group));
    last_group = group;
  }
  return out;
}

// The lists behind the tables of keys in docs/formats.md.
std::span<const KnownKey> keys_of_file(const std::string& name) {
  if (name == "adapter_config.json") return io::peft_config_keys();
  if (name == "config.json") return config::model_config_keys();
  if (name == "generation_config.json") return io::generation_config_keys();
  HICI_CHECK_USAGE(name == "tokenizer_config.json", "--keys_markdown: ", printable(name),
                   " has no list; use adapter_config.json, config.json, generation_config.json or "
                   "tokenizer_config.json");
  return text::tokenizer_config_keys();
}

// `words`: "--completion" and what follows.
std::string completion_of(const std::vector<std::string>& words) {
  const std::string shell = words.size() == 2 ? words[1] : "";
  HICI_CHECK_USAGE(shell == "bash" || shell == "zsh", "--completion: ",
                   words.size() == 2 ? printable(shell) + " is no shell that is known" : "takes one shell",
                   "; use bash or zsh");
  return shell == "bash" ? bash_completion() : zsh_completion();
}

}  // namespace

std::optional<std::string> help_answer(const std::vector<std::string>& words) {
  if (words.empty() || asks_for_help(words[0])) return root_help();
  if (words[0] == "help") return help_about({words.begin() + 1, words.end()});
  if (words.size() == 1 && (words[0] == "--version" || words[0] == "-V")) return version_text();
  if (words.size() == 1 && words[0] == "--options_markdown") return options_markdown();
  if (words.size() == 2 && words[0] == "--keys_markdown") return keys_markdown(keys_of_file(words[1]));
  if (words.size() == 1 && words[0] == "--foreign_flags_markdown") return foreign_flags_markdown();
  if (words.size() == 1 && words[0] == "--help_texts") return launcher_texts();
  if (words.size() == 1 && words[0] == "--man") return man_page();
  if (words[0] == "--completion") return completion_of(words);
  const NamedCommand named = find_command(words);
  if (named.name.empty()) return std::nullopt;
  const auto end = std::find(words.begin(), words.end(), "--");
  if (std::none_of(words.begin() + static_cast<std::ptrdiff_t>(named.num_words), end, asks_for_help))
    return std::nullopt;
  const bool names_none = named.entry == nullptr && words.size() > 1 && !asks_for_help(words[1]);
  return names_none ? std::nullopt : std::optional(help_of(named));
}

std::string options_markdown() {
  std::ostringstream out;
  out << "# Options of every command\n\nGenerated by `hici --options_markdown`; do not edit. `-` and `_` are the same "
         "in a name; a boolean\n"
         "stands alone or takes True/False. Counts of tokens may be written 128K or 1M, which are 1024-based (131072, "
         "1048576).\n"
         "Every command also has `--config FILE` and `--help`.\n";
  for (const CommandEntry& entry : command_table()) {
    const BoundCommand command = bind_command(entry);
    out << "\n## hici " << entry.name << "\n\n" << entry.summary << "\n\n    " << usage_line(command) << "\n";
    for (const std::string& group : option_group_names()) {
      const auto options = options_of_group(*command.app, group);
      if (options.empty() || group == option_group("help")) continue;
      out << "\n| " << group << " | default | meaning |\n|---|---|---|\n";
      for (const CLI::Option* option : options) {
        const std::string shown = shown_default(*option);
        const std::string name = option->get_lnames().empty() ? positional_usage(*option) : shown_name(*option);
        out << "| `" << name << "` | " << (shown.empty() ? "" : "`" + shown + "`") << " | " << option->get_description()
            << (option->get_required() ? " (required)" : "") << " |\n";
      }
    }
  }
  return out.str();
}

}  // namespace hici::commands
