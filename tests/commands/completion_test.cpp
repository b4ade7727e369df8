// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/completion.h"

#include "hici/base/error.h"
#include "hici/commands/bound_command.h"
#include "hici/commands/help.h"
#include "hici/commands/man_page.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/option_groups.h"
#include "hici/commands/options/option_text.h"
#include "support/error_message.h"
#include "support/has_part.h"

#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

namespace hici::commands {
namespace {

using Words = std::vector<std::string>;

TEST(ChoicesTest, AreThoseThatWereDeclaredAndChangeNoType) {
  CLI::App app;
  std::string text = "a";
  bool flag = false;
  const CLI::Option* plain = add_option(app, "plain", text, "");
  const CLI::Option* chosen = with_choices(add_option(app, "chosen", text, ""), {"a", "b_c"});
  EXPECT_EQ(choices_of(*plain), Words{});
  EXPECT_EQ(choices_of(*chosen), (Words{"a", "b_c"}));
  EXPECT_EQ(value_type(*chosen), value_type(*plain));
  EXPECT_EQ(choices_of(*add_bool(app, "flag", flag, "")), (Words{"True", "False"}));
}

// The help text of an option says what it takes; what is completed must be among it.
TEST(ChoicesTest, EveryChoiceStandsInTheHelpText) {
  int num_options = 0;
  for (const CommandEntry& entry : command_table()) {
    const BoundCommand command = bind_command(entry);
    for (const CLI::Option* option : command.app->get_options()) {
      if (is_bool(*option) || choices_of(*option).empty()) continue;
      ++num_options;
      for (const std::string& choice : choices_of(*option)) {
        const std::regex word("(^|[^A-Za-z0-9_])" + choice + "($|[^A-Za-z0-9_])");
        EXPECT_TRUE(std::regex_search(option->get_description(), word))
            << "hici " << entry.name << " " << option->get_name() << ": " << choice;
      }
    }
  }
  EXPECT_GT(num_options, 50);
}

TEST(CompletionTest, HasEveryCommandAndOption) {
  for (const std::string& script : {bash_completion(), zsh_completion()}) {
    for (const CommandEntry& entry : command_table()) {
      const size_t begin = script.find("    '" + entry.name + "')\n");
      ASSERT_NE(begin, std::string::npos) << entry.name;
      const std::string part = script.substr(begin, script.find("esac ;;", begin) - begin);
      const BoundCommand command = bind_command(entry);
      for (const CLI::Option* option : command.app->get_options()) {
        if (option->get_lnames().empty()) continue;
        const bool is_offered = testing::has_part(part, "--" + main_name(*option) + " ") ||
                                testing::has_part(part, "--" + main_name(*option) + "'");
        EXPECT_EQ(is_offered, !is_inherited(*option)) << entry.name << " --" << main_name(*option);
      }
    }
  }
}

TEST(CompletionTest, AShellThatIsNotKnownIsAUsageError) {
  EXPECT_EQ(help_answer({"--completion", "zsh"}), zsh_completion());
  EXPECT_EQ(help_answer({"--completion", "bash"}), bash_completion());
  EXPECT_THROW(help_answer({"--completion", "fish"}), UsageError);
  EXPECT_ERROR_SAYS(help_answer({"--completion", "fish"}),
                    "--completion: fish is no shell that is known; use bash or zsh");
  EXPECT_ERROR_SAYS(help_answer({"--completion"}), "--completion: takes one shell; use bash or zsh");
}

TEST(ManPageTest, HasEveryCommandWithItsOptions) {
  const std::string page = man_page();
  EXPECT_EQ(help_answer({"--man"}), page);
  for (const CommandEntry& entry : command_table()) {
    EXPECT_TRUE(
        testing::has_part(page, ".TP\n\\fB" + roff_text(entry.name) + "\\fR\n" + roff_text(entry.summary) + ".\n"));
    const BoundCommand command = bind_command(entry);
    for (const CLI::Option* option : command.app->get_options()) {
      if (is_inherited(*option) || option->get_group() == option_group("help"))
        continue;  // the latter stand there once
      EXPECT_TRUE(testing::has_part(page, roff_text(option->get_description())))
          << entry.name << " " << option->get_name();
    }
  }
  EXPECT_FALSE(testing::has_part(page, "Accepted without effect"));
}

TEST(ManPageTest, TextIsShownAsItIs) {
  EXPECT_EQ(roff_text(".a"), "\\&.a");
  EXPECT_EQ(roff_text("'a'"), "\\&\\(aqa\\(aq");
  EXPECT_EQ(roff_text("--x `y` \\z"), "\\-\\-x \\(gay\\(ga \\ez");
}

}  // namespace
}  // namespace hici::commands
