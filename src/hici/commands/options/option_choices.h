// SPDX-License-Identifier: Apache-2.0
// The values of an option that takes a few known words, for completion. They are declared with the option; what the
// command takes is decided where it parses the text.
#pragma once

#include "hici/base/enum_names.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace hici::commands {

// Of an option that was declared as text. Returns it.
CLI::Option* with_choices(CLI::Option* option, const std::vector<std::string>& choices);

// `others`, and the names of an enum's values.
template <NamedEnum E>
CLI::Option* with_choices_of(CLI::Option* option, std::vector<std::string> others = {}) {
  for (const EnumName<E>& each : names_of(E{}).all) others.emplace_back(each.name);
  return with_choices(option, others);
}

// What was declared; True and False of a boolean; else nothing.
std::vector<std::string> choices_of(const CLI::Option& option);

// "TEXT", "INT", "TOKENS": what help has behind the name.
std::string value_type(const CLI::Option& option);

}  // namespace hici::commands
