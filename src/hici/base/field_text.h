// SPDX-License-Identifier: Apache-2.0
// How a message of the library names a field that an option sets: in backquotes, as in "`learning_rate`: -1 is out of
// range" or "give `overwrite` True". The library knows no options; the program shows such a field as the option of the
// command that runs (commands/flag_text.h), in log lines and errors alike.
#pragma once

#include <string>
#include <string_view>

namespace hici {

inline std::string field_text(std::string_view name) {
  std::string text(1, '`');
  text += name;
  return text += '`';
}

// Whether the subject of a message is a field or an option: what is wrong with it is then a usage error.
inline bool is_field_or_option(std::string_view subject) {
  return subject.starts_with("`") || subject.starts_with("--");
}

// Gives every line of the log its last wording; without it lines stay as they are. For the program's start.
void set_log_wording(std::string (*wording)(const std::string& line));

}  // namespace hici
