// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/command.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::commands {
namespace {

TEST(NearestNameTest, FindsASlipOfTheFinger) {
  EXPECT_EQ(nearest_name("num_chunk", {"num_chunks", "num_heads"}), "num_chunks");
  EXPECT_EQ(nearest_name("xyzzy", {"num_chunks", "num_heads"}), "");
  EXPECT_EQ(nearest_name("model_name", {"model_name_or_path", "model_max_length"}), "model_name_or_path");
  EXPECT_EQ(nearest_name("model", {"model_name_or_path", "model_max_length"}), "") << "it begins both";
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

std::string command_line_error(std::vector<const char*> argv) {
  argv.insert(argv.begin(), "hici");
  return testing::error_message([&] { run_command_line(static_cast<int>(argv.size()), argv.data()); });
}

TEST(RunCommandLineTest, NamesAnUnknownCommand) {
  EXPECT_EQ(command_line_error({"frobnicate"}), "unknown command 'frobnicate'; 'hici --help' lists the commands");
  EXPECT_EQ(command_line_error({"trian"}), "unknown command 'trian'; did you mean 'train'?");
  EXPECT_EQ(command_line_error({"eval", "pppl"}), "unknown command 'eval pppl'; did you mean 'eval ppl'?");
  EXPECT_EQ(command_line_error({"help", "trian"}), "unknown command 'trian'; did you mean 'train'?");
  EXPECT_EQ(command_line_error({"help", "devices", "more"}),
            "unexpected argument 'more'; 'hici help devices' shows its options");
}

TEST(RunCommandLineTest, AGroupAloneSaysWhichThereAre) {
  EXPECT_EQ(command_line_error({"score"}),
            "which one? use longbench, topics, lines; 'hici help score' says what each does");
  EXPECT_EQ(command_line_error({"score", "--output", "x"}), command_line_error({"score"}));
}

TEST(RunCommandLineTest, AnOptionBeforeTheCommandIsToldSo) {
  EXPECT_EQ(command_line_error({"--seed", "1", "train"}),
            "'--seed' stands before the command; write 'hici COMMAND' first, 'hici --help' lists the commands");
}

std::string name_of(std::vector<const char*> argv) {
  argv.insert(argv.begin(), "hici");
  return program_name(static_cast<int>(argv.size()), argv.data());
}

TEST(ProgramNameTest, IsTheNameOfTheCommandAlone) {
  EXPECT_EQ(name_of({}), "hici");
  EXPECT_EQ(name_of({"generate", "Once upon a time"}), "hici generate");
  EXPECT_EQ(name_of({"report", "runs/first"}), "hici report");
  EXPECT_EQ(name_of({"eval", "ppl", "--x"}), "hici eval ppl");
  EXPECT_EQ(name_of({"eval", "nothing"}), "hici eval");
  EXPECT_EQ(name_of({"train_tokenizer"}), "hici train-tokenizer");
  EXPECT_EQ(name_of({"frobnicate"}), "hici");
}

}  // namespace
}  // namespace hici::commands
