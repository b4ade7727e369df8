// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/help.h"

#include "hici/base/log.h"
#include "hici/commands/bound_command.h"
#include "hici/commands/options/option_groups.h"
#include "support/has_part.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace hici::commands {
namespace {

std::string help(const std::vector<std::string>& words) { return help_answer(words).value_or("no help"); }

TEST(HelpTest, EveryWayToAskGetsTheSameText) {
  const std::string train = help({"train", "--help"});
  EXPECT_TRUE(testing::has_part(train, "\nUsage: hici train [OPTIONS]\n")) << train;
  EXPECT_EQ(help({"help", "train"}), train);
  EXPECT_EQ(help({"train", "-h"}), train);
  EXPECT_EQ(help({"train", "--seed", "1", "--help"}), train);
  EXPECT_EQ(help({"help"}), help({}));
  EXPECT_EQ(help({"--help"}), help({}));
  EXPECT_EQ(help({"help", "eval"}), help({"eval", "--help"}));
  EXPECT_EQ(help({"help", "train_tokenizer"}), help({"train-tokenizer", "--help"}));
  EXPECT_EQ(help({"--version"}), version_text());
}

TEST(HelpTest, WorkIsNoQuestion) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"train"}, {"devices"}, {"eval"}, {"trian", "--help"}, {"generate", "--", "--help"}})
    EXPECT_EQ(help_answer(words), std::nullopt) << words[0];
}

TEST(HelpTest, ListsEveryCommandAndTheVersion) {
  for (const CommandEntry& entry : command_table())
    EXPECT_TRUE(testing::has_part(help({}), "\n  " + entry.name + " ")) << entry.name;
  EXPECT_TRUE(testing::has_part(help({}), "--version"));
  EXPECT_TRUE(testing::has_part(help({}), "help [COMMAND]"));
  EXPECT_TRUE(testing::has_part(help({"help", "eval"}), "\n  eval ppl "));
  EXPECT_FALSE(testing::has_part(help({"help", "eval"}), "train-tokenizer"));
}

TEST(HelpTest, OptionsStandInGroupsWithDefaults) {
  const std::string text = help({"help", "train"});
  EXPECT_LT(text.find("\nModel:\n"), text.find("\nData:\n"));
  EXPECT_LT(text.find("\nHiCI:\n"), text.find("--num_chunks INT"));
  EXPECT_LT(text.find("\nOptimisation:\n"), text.find("--learning_rate FLOAT"));
  EXPECT_TRUE(testing::has_part(text, "--model_max_length TOKENS")) << text;
  EXPECT_TRUE(testing::has_part(text, "[2e-05]"));
  EXPECT_TRUE(testing::has_part(text, "(required)"));
  EXPECT_TRUE(testing::has_part(help({"help", "generate"}), "Usage: hici generate [PROMPT] [OPTIONS]\n"));
  EXPECT_TRUE(testing::has_part(help({"help", "inspect"}), "Usage: hici inspect PATH [OPTIONS]\n"));
}

TEST(HelpTest, LinesAreShort) {
  for (const CommandEntry& entry : command_table()) {
    std::vector<std::string> words{"help"};
    std::istringstream name(entry.name);
    for (std::string word; name >> word;) words.push_back(word);
    std::istringstream text(help(words));
    for (std::string line; std::getline(text, line);) EXPECT_LE(line.size(), 110U) << line;
  }
}

TEST(HelpTest, TheLauncherGetsEveryText) {
  const std::string texts = help({"--help_texts"});
  for (const CommandEntry& entry : command_table())
    EXPECT_TRUE(testing::has_part(texts, "{R\"hici(" + entry.name + ")hici\", R\"hici(" + entry.summary + "\nUsage: "))
        << entry.name;
  EXPECT_TRUE(testing::has_part(texts, "{R\"hici()hici\", R\"hici(" + help({}) + ")hici\"},\n"));
  EXPECT_TRUE(testing::has_part(texts, "{R\"hici(eval)hici\", "));
  EXPECT_TRUE(testing::has_part(texts, "{R\"hici(--version)hici\", R\"hici(" + version_text()));
}

TEST(HelpTest, EveryOptionHasAGroup) {
  for (const CommandEntry& entry : command_table()) {
    const BoundCommand command = bind_command(entry);
    for (const CLI::Option* option : command.app->get_options())
      EXPECT_NE(option->get_group(), option_group(""))
          << "hici " << entry.name << " " << option->get_name() << ": name it in option_groups.cpp";
  }
}

}  // namespace
}  // namespace hici::commands
