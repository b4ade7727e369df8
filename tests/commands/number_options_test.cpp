// SPDX-License-Identifier: Apache-2.0
// Every number that any command takes has a range: what does not fit is refused by its option's name.
#include "hici/commands/bound_command.h"
#include "hici/commands/options/parse_options.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace hici::commands {
namespace {

// What no option of a type takes.
const std::map<std::string, std::vector<std::string>>& absurd_values() {
  static const std::map<std::string, std::vector<std::string>> values{
      {"INT",
       {"-7", "99999999999999999999", "1.5", "1e3", "nan", "", "9223372036854775807", "9223372036854775808",
        "18446744073709551615"}},
      {"TOKENS", {"-7", "99999999999999999999", "1.5", "1e3", "nan", "", "9223372036854775807", "999999G", "1KB"}},
      {"BYTES", {"-7", "99999999999999999999", "nan", "inf", "", "5G"}},
      {"FLOAT", {"-7", "nan", "inf", "1e300", "1e30", "1e400", ""}}};
  return values;
}

// The largest of 63 bits is a seed like any other.
bool is_allowed(const std::string& name, const std::string& value) {
  return (name == "seed" || name == "data_seed") && value == "9223372036854775807";
}

void expect_refused(const CommandEntry& entry, const std::string& name, const std::string& value) {
  const BoundCommand command = bind_command(entry);
  const std::string message =
      testing::error_message([&] { parse_options(*command.app, entry.name, {"--" + name + "=" + value}); });
  EXPECT_NE(message.find("--" + name + ": "), std::string::npos)
      << entry.name << " --" << name << "=" << value << ": " << message;
  EXPECT_TRUE(testing::is_one_clean_line(message));
}

TEST(NumberOptionsTest, WhatDoesNotFitIsRefusedByName) {
  size_t num_options = 0;
  for (const CommandEntry& entry : command_table()) {
    const BoundCommand command = bind_command(entry);
    for (const CLI::Option* option : command.app->get_options()) {
      const auto values = absurd_values().find(option->get_type_name());
      if (values == absurd_values().end()) continue;
      ++num_options;
      const std::string name = option->get_lnames().front();
      for (const std::string& value : values->second)
        if (!is_allowed(name, value)) expect_refused(entry, name, value);
    }
  }
  EXPECT_GT(num_options, 200U);
}

TEST(NumberOptionsTest, EveryCommandTakesTheSameSeeds) {
  int num_commands = 0;
  for (const CommandEntry& entry : command_table()) {
    for (const char* value : {"-1", "9223372036854775808"}) {
      const BoundCommand command = bind_command(entry);
      if (command.app->get_option_no_throw("--seed") == nullptr) continue;
      ++num_commands;
      EXPECT_ERROR_SAYS(parse_options(*command.app, entry.name, {std::string("--seed=") + value}),
                        std::string("--seed: ") + value + " is out of range; use 0 to 9223372036854775807");
    }
  }
  EXPECT_EQ(num_commands, 2 * 5);
}

}  // namespace
}  // namespace hici::commands
