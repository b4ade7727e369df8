// SPDX-License-Identifier: Apache-2.0
// The file of --config: a line "name = value" for each option; [sections] that name the command or are [default];
// '#' or ';' begins a comment, at the line's beginning or behind a space. A value in double quotes is taken as it
// stands, with \" and \\ in it; several quoted ones in a row are the values of an option that takes several.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hici::commands {

struct ConfigLine {
  std::string name;                 // as --name has it, '_' for '-'
  std::vector<std::string> values;  // at least one
  std::string source;               // "run.ini: line 3"
};

// `command` is "train" or "eval ppl": what a section may be named after. A file of another form, a name that stands
// there twice and a section of another command are usage errors with file and line.
std::vector<ConfigLine> read_config_file(const std::filesystem::path& file, const std::string& command);

// The values as read_config_file() gives them back. A line end or NUL in one is a usage error with `subject`.
std::string config_line_value(const std::vector<std::string>& values, const std::string& subject);

}  // namespace hici::commands
