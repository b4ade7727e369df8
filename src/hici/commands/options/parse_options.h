// SPDX-License-Identifier: Apache-2.0
// Words of a command line to the options of its command. CLI11 keeps the declarations and their help; the words are
// read here, so that every mistake is found at once and told in our own sentences, an empty value is a value, and no
// word is changed.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace hici::commands {

// `words` are what follows the command's name. In an option's name '-' and '_' are the same; "--name=value" and
// "--name value" too; "--" says that only positionals follow. Options of `--config FILE` are added where the words do
// not name them. All that is wrong is one usage error; nothing is set then that a caller should use.
void parse_options(CLI::App& app, const std::string& command, const std::vector<std::string>& words);

}  // namespace hici::commands
