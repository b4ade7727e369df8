// SPDX-License-Identifier: Apache-2.0
// A declared command and its options in words, for the help text, the tables of the documents and the manual page.
#pragma once

#include "hici/commands/bound_command.h"

#include <string>
#include <vector>

namespace hici::commands {

// "hici inspect PATH [OPTIONS]"
std::string usage_line(const BoundCommand& command);
// "PATH", "RUNS...", "[PROMPT]"
std::string positional_usage(const CLI::Option& option);
// "-h, --help"
std::string joined_names(const CLI::Option& option);
// What may follow the name: "TOKENS", "BOOL"; "" for flags and inherited names.
std::string value_text(const CLI::Option& option);
// The help text, and that it is required, and the default.
std::string option_meaning(const CLI::Option& option);
// In the order of their declaration.
std::vector<const CLI::Option*> options_of_group(const CLI::App& app, const std::string& group);

}  // namespace hici::commands
