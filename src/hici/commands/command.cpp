// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/command.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/log.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <numeric>
#include <sstream>

namespace hici::commands {
namespace {

// "--num-chunks=4" -> "--num_chunks=4": one spelling inside.
std::string canonical_argument(std::string argument) {
  if (argument.rfind("--", 0) != 0) return argument;
  const size_t end = std::min(argument.find('='), argument.size());
  std::replace(argument.begin() + 2, argument.begin() + static_cast<std::ptrdiff_t>(end), '-', '_');
  return argument;
}

constexpr const char* kBoolTrue = "BOOL=True";
constexpr const char* kBoolFalse = "BOOL=False";

std::string shown_default(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (type == kBoolTrue || type == kBoolFalse) return type.substr(type.find('=') + 1);
  return option.get_default_str();
}

bool parse_bool(const std::string& text, const std::string& name) {
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (lower.empty() || lower == "true" || lower == "1" || lower == "yes" || lower == "on") return true;
  HICI_CHECK_USAGE(lower == "false" || lower == "0" || lower == "no" || lower == "off", "--", name, ": '", text,
                   "' is no truth value; use True or False");
  return false;
}

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i) + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const int substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  }
  return names;
}

bool names_option(const std::string& argument, const std::string& option) {
  return argument == option || argument.rfind(option + "=", 0) == 0;
}

// "name = value" lines as command-line arguments; '#' and ';' begin comments.
std::vector<std::string> read_config_file(const std::string& path) {
  std::vector<std::string> arguments;
  std::istringstream lines(read_file(path, size_t{1} << 20));
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string text = CLI::detail::trim_copy(line);
    if (text.empty() || text[0] == '#' || text[0] == ';') continue;
    const size_t equals = text.find('=');
    HICI_CHECK_USAGE(equals != std::string::npos && equals > 0, path, ": line ", number,
                     " is no 'name = value'; write one option a line, without dashes");
    const std::string name = "--" + CLI::detail::trim_copy(text.substr(0, equals));
    arguments.push_back(canonical_argument(name) + "=" + CLI::detail::trim_copy(text.substr(equals + 1)));
  }
  return arguments;
}

// Adds the options of `--config FILE` that the command line does not name itself.
std::vector<std::string> expand_config_file(const std::vector<std::string>& arguments) {
  std::vector<std::string> expanded = arguments;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!names_option(arguments[i], "--config")) continue;
    const bool separate = arguments[i] == "--config";
    HICI_CHECK_USAGE(!separate || i + 1 < arguments.size(), "--config: a file must follow");
    for (const std::string& option :
         read_config_file(separate ? arguments[i + 1] : arguments[i].substr(arguments[i].find('=') + 1))) {
      const std::string name = option.substr(0, option.find('='));
      const bool typed =
          std::any_of(arguments.begin(), arguments.end(), [&](const std::string& a) { return names_option(a, name); });
      if (!typed) expanded.push_back(option);
    }
  }
  return expanded;
}

// All unknown options at once, each with the nearest known name.
void check_no_extras(const CLI::App& app, const std::string& command) {
  std::ostringstream message;
  for (const std::string& extra : app.remaining()) {
    if (extra.rfind("-", 0) != 0) continue;
    const std::string name = extra.substr(extra.find_first_not_of('-'), extra.find('=') - extra.find_first_not_of('-'));
    const std::string near = nearest_name(name, option_names(app));
    message << (message.tellp() > 0 ? ", " : "") << "--" << name
            << (near.empty() ? "" : " (did you mean --" + near + "?)");
  }
  HICI_CHECK_USAGE(message.tellp() == 0, "unknown option: ", message.str(), "; 'hici ", command, " --help' lists them");
  HICI_CHECK_USAGE(app.remaining().empty(), "unexpected argument '", app.remaining().front(), "'; 'hici ", command,
                   " --help' shows the usage");
}

struct BoundCommand {
  const CommandEntry* entry;
  CLI::App* app;
  Runner run;
};

// The CLI11 tree of the whole table; "eval ppl" becomes a subcommand of a subcommand.
struct CommandTree {
  CLI::App root{"hici: long-context fine-tuning of Llama-2, Llama-3 and Qwen3 with HiCI attention", "hici"};
  std::string config_file;
  std::map<std::string, CLI::App*> groups;
  std::vector<BoundCommand> commands;

  CommandTree() {
    for (const CommandEntry& entry : command_table()) {
      CLI::App* app =
          parent_of(entry.name)->add_subcommand(entry.name.substr(entry.name.rfind(' ') + 1), entry.summary);
      app->allow_extras();
      // Expanded before parsing (expand_config_file); bound so that help lists it.
      app->add_option("--config", config_file, "Read options from a file (name = value lines); the command line wins");
      commands.push_back({&entry, app, entry.bind(*app)});
    }
  }

  CLI::App* parent_of(const std::string& name) {
    const size_t space = name.find(' ');
    if (space == std::string::npos) return &root;
    CLI::App*& group = groups[name.substr(0, space)];
    if (!group)
      group = root.add_subcommand(name.substr(0, space), "Commands: " + name.substr(0, space) + " ...")
                  ->require_subcommand(1);
    return group;
  }
};

int parse_and_run(CommandTree& tree, std::vector<std::string> arguments) {
  arguments = expand_config_file(arguments);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes a vector from its end
  try {
    tree.root.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const CLI::App* shown = &tree.root;
    while (!shown->get_subcommands().empty()) shown = shown->get_subcommands().front();
    write_stdout(shown->help());
    return 0;
  } catch (const CLI::ParseError& e) {
    detail::throw_usage_error(e.what());
  }
  for (const BoundCommand& command : tree.commands) {
    if (!command.app->parsed()) continue;
    check_no_extras(*command.app, command.entry->name);
    return command.run();
  }
  write_stdout(tree.root.help());
  return 0;
}

}  // namespace

template <typename T>
CLI::Option* add_option(CLI::App& app, const std::string& name, T& member, const std::string& help) {
  return app.add_option("--" + name, member, help)->capture_default_str();
}
template CLI::Option* add_option(CLI::App&, const std::string&, std::string&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, std::vector<std::string>&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, std::filesystem::path&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, int&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, int64_t&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, uint64_t&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, double&, const std::string&);

CLI::Option* add_bool(CLI::App& app, const std::string& name, bool& member, const std::string& help) {
  CLI::callback_t set = [&member, name](const CLI::results_t& results) {
    member = parse_bool(results.empty() ? "" : results.front(), name);
    return true;
  };
  // The default stands in the type name, not in default_str: that is what CLI11 would hand over for a bare `--name`.
  return app.add_option("--" + name, set, help)->expected(0, 1)->type_name(member ? kBoolTrue : kBoolFalse);
}

void add_inherited(CLI::App& app, const std::string& name, const std::string& reason) {
  CLI::callback_t note = [name, reason](const CLI::results_t&) {
    log_info("--", name, " has no meaning here: ", reason);
    return true;
  };
  app.add_option("--" + name, note, "Accepted without effect: " + reason)->expected(0, 1)->group("Inherited names");
}

std::string effective_options(const CLI::App& app) {
  std::ostringstream out;
  out << "# the options in force; hici " << app.get_name() << " --config THIS_FILE repeats the run\n";
  for (const CLI::Option* option : app.get_options()) {
    const std::vector<std::string> names = option->get_lnames();
    if (names.empty() || names.front() == "help" || names.front() == "config" ||
        option->get_group() == "Inherited names")
      continue;
    std::string value = option->count() > 0 ? CLI::detail::join(option->results(), " ") : shown_default(*option);
    if (option->count() > 0 && value.empty()) value = "True";  // a boolean that stood alone
    // Defaults stand there as comments: read back, they would count as typed, and some would then have no effect.
    if (!value.empty()) out << (option->count() > 0 ? "" : "# ") << names.front() << " = " << value << "\n";
  }
  return out.str();
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  int best_distance = std::max(2, static_cast<int>(name.size()) / 3) + 1;
  for (const std::string& candidate : known) {
    const int distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

int run_command_line(int argc, const char* const* argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) arguments.push_back(canonical_argument(argv[i]));
  // 'hici train_tokenizer' is 'hici train-tokenizer'.
  if (!arguments.empty() && arguments[0].rfind("-", 0) != 0)
    std::replace(arguments[0].begin(), arguments[0].end(), '_', '-');
  if (arguments.size() == 1 && (arguments[0] == "--version" || arguments[0] == "-V")) {
    write_stdout(version_text());
    return 0;
  }
  if (arguments.size() == 1 && arguments[0] == "--options_markdown") {
    write_stdout(options_markdown());
    return 0;
  }
  CommandTree tree;
  if (!arguments.empty() && arguments[0].rfind("-", 0) != 0) {
    std::vector<std::string> names;
    for (const CLI::App* app : tree.root.get_subcommands({})) names.push_back(app->get_name());
    const bool known = std::find(names.begin(), names.end(), arguments[0]) != names.end();
    const std::string near = nearest_name(arguments[0], names);
    HICI_CHECK_USAGE(known, "unknown command '", arguments[0], "'",
                     near.empty() ? "" : "; did you mean '" + near + "'?",
                     near.empty() ? "; 'hici --help' lists the commands" : "");
  }
  return parse_and_run(tree, std::move(arguments));
}

std::string options_markdown() {
  CommandTree tree;
  std::ostringstream out;
  out << "# Options of every command\n\nGenerated by `hici --options_markdown`; do not edit. `-` and `_` are the same "
         "in a name; a boolean\n"
         "stands alone or takes True/False. Every command also has `--config FILE` and `--help`.\n";
  for (const BoundCommand& command : tree.commands) {
    out << "\n## hici " << command.entry->name << "\n\n"
        << command.entry->summary << "\n\n| option | default | meaning |\n|---|---|---|\n";
    for (const CLI::Option* option : command.app->get_options()) {
      if (option->get_lnames().empty() || option->get_lnames().front() == "help" ||
          option->get_lnames().front() == "config")
        continue;
      out << "| `--" << option->get_lnames().front() << "` | "
          << (shown_default(*option).empty() ? "" : "`" + shown_default(*option) + "`") << " | "
          << option->get_description() << " |\n";
    }
  }
  return out.str();
}

}  // namespace hici::commands
