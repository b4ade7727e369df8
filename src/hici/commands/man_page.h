// SPDX-License-Identifier: Apache-2.0
// The manual page, from the declared options.
#pragma once

#include <string>

namespace hici::commands {

// hici(1) in the language of man(7): all commands with their options, exit codes and files. The names that are accepted
// for users of other programs are left to `hici help COMMAND`.
std::string man_page();

// `text` as it is shown, for a line of man(7).
std::string roff_text(const std::string& text);

}  // namespace hici::commands
