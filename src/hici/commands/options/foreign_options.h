// SPDX-License-Identifier: Apache-2.0
// Options of other programs: with one value that has a meaning here, or with a way out alone.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace hici::commands {

struct OneMeaning {
  const char* name;
  // In lower case; numbers and truth values in any spelling
  std::vector<std::string> values;
  const char* reason;     // why these have no effect
  const char* otherwise;  // the way to have what another value asks for
};

// A line says that the value has no effect; another one is a usage error with the way out. May stand alone where truth
// values are meant.
void add_one_meaning(CLI::App& app, const OneMeaning& option);

// add_inherited() for an option that never stands alone: in a command with positionals, its value is none of them.
void add_inherited_value(CLI::App& app, const std::string& name, const std::string& reason);

// A usage error in any case: "--NAME: WHY; WAY_OUT".
void add_refused(CLI::App& app, const std::string& name, const std::string& why, const std::string& way_out);
bool is_refused(const CLI::Option& option);

}  // namespace hici::commands
