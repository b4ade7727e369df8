// SPDX-License-Identifier: Apache-2.0
// What `hici --help`, `hici help COMMAND`, `hici --version` and the like print.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace hici::commands {

// The text that these words of a command line ask for, or nothing where they ask for work. An unknown command after
// `help` is a usage error.
std::optional<std::string> help_answer(const std::vector<std::string>& words);

// The reference of all options as Markdown (docs/options.md is this text; CI compares).
std::string options_markdown();

}  // namespace hici::commands
