// SPDX-License-Identifier: Apache-2.0
// What the parser of words, the help text and the file of options in force ask of a declared option.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace hici::commands {

// Without dashes: the first long name, else the positional's.
std::string main_name(const CLI::Option& option);
// "--seq_len" as messages name it, "runs" for a positional.
std::string shown_name(const CLI::Option& option);
bool is_truth_value(const std::string& text);
// Declared by add_bool().
bool is_bool(const CLI::Option& option);
// Declared by add_inherited().
bool is_inherited(const CLI::Option& option);
// "" where there is none.
std::string shown_default(const CLI::Option& option);

}  // namespace hici::commands
