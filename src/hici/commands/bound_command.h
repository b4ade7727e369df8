// SPDX-License-Identifier: Apache-2.0
// A command with its options declared, for parsing them and for telling about them.
#pragma once

#include "hici/commands/command.h"

#include <memory>
#include <string>
#include <vector>

namespace hici::commands {

struct BoundCommand {
  const CommandEntry* entry;
  std::unique_ptr<CLI::App> app;  // named "hici eval ppl"
  Runner run;
};

BoundCommand bind_command(const CommandEntry& entry);

// What the first words of a command line name.
struct NamedCommand {
  const CommandEntry* entry = nullptr;  // nullptr: none, or a group of commands
  std::string name;                     // "eval ppl", a group ("eval"), or "" where no word names one
  size_t num_words = 0;                 // of the name
};
NamedCommand find_command(const std::vector<std::string>& words);

// "ppl", "passkey", ... of "eval"; empty for what is no group.
std::vector<std::string> commands_of_group(const std::string& group);

// Not a command and not a group: a usage error with the nearest name.
[[noreturn]] void fail_unknown_command(const std::vector<std::string>& words);

}  // namespace hici::commands
