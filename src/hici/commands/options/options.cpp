// SPDX-License-Identifier: Apache-2.0
// How one option of a command is declared, and the text of all of them that --config reads.
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/lower_case.h"
#include "hici/commands/command.h"
#include "hici/commands/options/config_file.h"
#include "hici/commands/options/option_text.h"
#include "hici/commands/options/option_values.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <type_traits>

namespace hici::commands {
namespace {

constexpr const char* kBoolTrue = "BOOL=True";
constexpr const char* kBoolFalse = "BOOL=False";
constexpr const char* kTokens = "TOKENS";
constexpr const char* kBytes = "BYTES";
constexpr const char* kInherited = "Of other programs";

bool parse_bool(const std::string& text, const std::string& subject) {
  const std::string lower = in_lower_case(text);
  HICI_CHECK_USAGE(is_truth_value(lower), subject, ": '", text, "' is no truth value; use True or False");
  return lower == "true" || lower == "1" || lower == "yes" || lower == "on";
}

// "seq_len" of "seq_len,--context_lengths".
std::string subject_of(const std::string& names) { return "--" + names.substr(0, names.find(',')); }

// An option of one value, which `parse` reads; it throws hici::UsageError where it cannot.
template <typename T, typename Parse>
CLI::Option* add_value(CLI::App& app, const std::string& names, T& member, const std::string& help, const char* type,
                       Parse parse) {
  const CLI::callback_t set = [&member, parse](const CLI::results_t& results) {
    member = parse(results.at(0));
    return true;
  };
  return app.add_option("--" + names, set, help)->type_name(type)->default_str(detail::concat(member));
}

template <typename T>
CLI::Option* add_number(CLI::App& app, const std::string& names, T& member, const std::string& help,
                        const Range<T>& range) {
  const auto parse = [subject = subject_of(names), range](const std::string& text) {
    if constexpr (std::is_floating_point_v<T>) {
      return parse_real(text, subject, range);
    } else {
      return parse_whole<T>(text, subject, range);
    }
  };
  return add_value(app, names, member, help, std::is_floating_point_v<T> ? "FLOAT" : "INT", parse);
}

// What the program took the typed text for, where that is another text.
std::string plain_value(const CLI::Option& option, const std::string& typed) {
  const std::string subject = shown_name(option);
  if (option.get_type_name() == kTokens) return std::to_string(parse_tokens(typed, subject));
  if (option.get_type_name() == kBytes) return std::to_string(parse_size(typed, subject));
  return typed;
}

}  // namespace

std::string main_name(const CLI::Option& option) {
  return option.get_lnames().empty() ? option.get_name() : option.get_lnames().front();
}

std::string shown_name(const CLI::Option& option) {
  return (option.get_lnames().empty() ? "" : "--") + main_name(option);
}

bool is_truth_value(const std::string& text) {
  static const std::vector<std::string> words{"true", "false", "1", "0", "yes", "no", "on", "off"};
  return std::find(words.begin(), words.end(), in_lower_case(text)) != words.end();
}

bool is_bool(const CLI::Option& option) {
  return option.get_type_name() == kBoolTrue || option.get_type_name() == kBoolFalse;
}

bool is_inherited(const CLI::Option& option) { return option.get_group() == kInherited; }

std::string shown_default(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return is_bool(option) ? type.substr(type.find('=') + 1) : option.get_default_str();
}

template <typename T>
CLI::Option* add_option(CLI::App& app, const std::string& name, T& member, const std::string& help) {
  if constexpr (std::is_arithmetic_v<T>) {
    return add_number<T>(app, name, member, help, {});
  } else {
    return app.add_option("--" + name, member, help)->capture_default_str();
  }
}
template CLI::Option* add_option(CLI::App&, const std::string&, std::string&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, std::vector<std::string>&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, std::filesystem::path&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, int&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, int64_t&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, uint64_t&, const std::string&);
template CLI::Option* add_option(CLI::App&, const std::string&, double&, const std::string&);

template <typename T>
CLI::Option* add_option(CLI::App& app, const std::string& name, T& member, const std::string& help,
                        const std::type_identity_t<Range<T>>& range) {
  return add_number<T>(app, name, member, help, range);
}
template CLI::Option* add_option(CLI::App&, const std::string&, int&, const std::string&, const Range<int>&);
template CLI::Option* add_option(CLI::App&, const std::string&, int64_t&, const std::string&, const Range<int64_t>&);
template CLI::Option* add_option(CLI::App&, const std::string&, uint64_t&, const std::string&, const Range<uint64_t>&);
template CLI::Option* add_option(CLI::App&, const std::string&, double&, const std::string&, const Range<double>&);

CLI::Option* add_tokens(CLI::App& app, const std::string& name, int64_t& member, const std::string& help,
                        const Range<int64_t>& range) {
  const auto parse = [subject = subject_of(name), range](const std::string& text) {
    return parse_tokens(text, subject, range);
  };
  return add_value(app, name, member, help, kTokens, parse);
}

CLI::Option* add_bytes(CLI::App& app, const std::string& name, uint64_t& member, const std::string& shown,
                       const std::string& help) {
  const auto parse = [subject = subject_of(name)](const std::string& text) { return parse_size(text, subject); };
  return add_value(app, name, member, help, kBytes, parse)->default_str(shown);
}

CLI::Option* add_bool(CLI::App& app, const std::string& name, bool& member, const std::string& help) {
  CLI::callback_t set = [&member, subject = subject_of(name)](const CLI::results_t& results) {
    member = results.empty() || results.front().empty() || parse_bool(results.front(), subject);
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
  app.add_option("--" + name, note, "Accepted without effect: " + reason)->expected(0, 1)->group(kInherited);
}

std::string effective_options(const CLI::App& app, const std::map<std::string, std::string>& in_force) {
  std::ostringstream out;
  out << "# the options in force; " << app.get_name() << " --config THIS_FILE repeats the run\n";
  for (const CLI::Option* option : app.get_options()) {
    const std::vector<std::string> names = option->get_lnames();
    if (names.empty() || names.front() == "help" || names.front() == "config" || is_inherited(*option)) continue;
    if (option->count() > 0) {
      std::vector<std::string> values;
      for (const std::string& typed : option->results()) values.push_back(plain_value(*option, typed));
      if (is_bool(*option) && values.front().empty()) values.front() = "True";  // it stood alone
      out << names.front() << " = " << config_line_value(values, "--" + names.front()) << "\n";
      continue;
    }
    const auto decided = in_force.find(names.front());
    const std::string value = decided != in_force.end() ? decided->second : shown_default(*option);
    // What was not typed stands there as comment: read back, it would count as typed, and some would then have no
    // effect.
    if (!value.empty()) out << "# " << names.front() << " = " << value << "\n";
  }
  return out.str();
}

}  // namespace hici::commands
