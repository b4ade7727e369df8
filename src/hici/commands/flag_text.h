// SPDX-License-Identifier: Apache-2.0
// Messages of the library name fields in backquotes (base/field_text.h); people typed options.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace hici::commands {

// From now on with_flags() takes the options of this command first, and the log and what main() says of errors are
// worded by it.
void name_fields_as_options_of(const CLI::App& command);

// "`num_segments`: 0 is out of range" as "--num_chunks: 0 is out of range". What no command has an option for stays as
// it is. For texts that go neither through the log nor through main(): results, pages.
std::string with_flags(const std::string& text);

}  // namespace hici::commands
