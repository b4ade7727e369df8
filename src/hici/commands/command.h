// SPDX-License-Identifier: Apache-2.0
// The command table and the helpers with which a command declares its options once.
//
// A command is a struct of options (the defaults are the member initialisers), one function that binds it to CLI11,
// and a run() that turns it into library calls. Option names are snake_case; on the command line '-' and '_' are the
// same, and a boolean may stand alone or be followed by True/False.
#pragma once

#include "hici/commands/options/range.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace hici::commands {

// Runs the command with the options that were parsed; returns the process's exit code.
using Runner = std::function<int()>;

struct CommandEntry {
  std::string name;                       // as typed, "train" or "eval ppl"
  std::string summary;                    // one line of `hici --help`
  std::function<Runner(CLI::App&)> bind;  // adds the options to the subcommand, returns what runs it
};

// All commands, in the order of the help text. Each folder-level command file provides one entry.
const std::vector<CommandEntry>& command_table();

// Parses, validates and runs, or prints what help or the version is. Throws hici::Error and its kinds; `main` is the
// only catch.
int run_command_line(int argc, const char* const* argv);
// The same for the words behind "hici", also from within a command. From then on messages name fields as options of
// that command (flag_text.h).
int run_words(const std::vector<std::string>& words);

// "hici eval ppl": what begins an error line. "hici" where the words name no command.
std::string program_name(int argc, const char* const* argv);

// ---- binding helpers: one line for each option --------------------------------------------------------------
// Value option; the default is the member's present value. For the types that options.cpp has it for: made in every
// command, CLI11's templates would take most of the compiler's time. A number that does not fit its type, nan and inf
// are usage errors.
template <typename T>
CLI::Option* add_option(CLI::App& app, const std::string& name, T& member, const std::string& help);
// A number (int, int64_t, uint64_t, double) outside `range` is a usage error that names the option.
template <typename T>
CLI::Option* add_option(CLI::App& app, const std::string& name, T& member, const std::string& help,
                        const std::type_identity_t<Range<T>>& range);

// A count of tokens: whole, or with K, M or G behind it, which are 1024-based (128K = 131072).
CLI::Option* add_tokens(CLI::App& app, const std::string& name, int64_t& member, const std::string& help,
                        const Range<int64_t>& range = kTokensFromZero);
// A number of bytes: plain, or as in 5GB or 5GiB. `shown` is the default as help has it.
CLI::Option* add_bytes(CLI::App& app, const std::string& name, uint64_t& member, const std::string& shown,
                       const std::string& help);

// `--name`, `--name True`, `--name False`.
CLI::Option* add_bool(CLI::App& app, const std::string& name, bool& member, const std::string& help);

// Accepted for users of the research scripts, without effect; one line says so when it is given.
void add_inherited(CLI::App& app, const std::string& name, const std::string& reason);

// "name = value" of every option in force, what was not typed as comments: a file for --config. `in_force`: values of
// options that were not typed and have not their default, by name.
std::string effective_options(const CLI::App& app, const std::map<std::string, std::string>& in_force = {});

// The name in `known` with the smallest edit distance to `name`, or "" when none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace hici::commands
