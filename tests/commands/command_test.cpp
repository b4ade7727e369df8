// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/command.h"

#include "hici/base/error.h"

#include <gtest/gtest.h>

namespace hici::commands {
namespace {

TEST(NearestNameTest, FindsASlipOfTheFinger) {
  EXPECT_EQ(nearest_name("num_chunk", {"num_chunks", "num_heads"}), "num_chunks");
  EXPECT_EQ(nearest_name("xyzzy", {"num_chunks", "num_heads"}), "");
}

TEST(AddBoolTest, StandsAloneOrTakesAValue) {
  for (const auto& [arguments, expected] : std::vector<std::pair<std::vector<std::string>, bool>>{
           {{}, false}, {{"--bf16"}, true}, {{"True", "--bf16"}, true}, {{"False", "--bf16"}, false}}) {
    CLI::App app;
    bool bf16 = false;
    add_bool(app, "bf16", bf16, "");
    app.parse(std::vector<std::string>(arguments));
    EXPECT_EQ(bf16, expected) << arguments.size();
  }
}

TEST(RunCommandLineTest, NamesAnUnknownCommand) {
  const char* argv[] = {"hici", "frobnicate"};
  EXPECT_THROW(run_command_line(2, argv), UsageError);
}

}  // namespace
}  // namespace hici::commands
