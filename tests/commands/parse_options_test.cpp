// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/parse_options.h"

#include "hici/base/file.h"
#include "hici/commands/command.h"

#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace hici::commands {
namespace {

using Words = std::vector<std::string>;

// A command with one option of each kind.
struct Sample {
  CLI::App app{"Sample", "hici sample"};
  std::string label = "none";
  int64_t seq_len = 2048;
  int64_t seed = 42;
  double rate = 0.5;
  bool chat = false;
  std::vector<std::string> stop;
  std::vector<std::string> files;
  std::string prompt;

  explicit Sample(bool has_positional = false) {
    add_option(app, "label", label, "a label");
    add_tokens(app, "seq_len,--context_lengths", seq_len, "tokens", {2, 1 << 30});
    add_option(app, "seed", seed, "a seed", kFromZero);
    add_option(app, "learning_rate", rate, "a rate", {0, 1});
    add_bool(app, "chat", chat, "chat");
    add_option(app, "stop", stop, "a text")->allow_extra_args(false);
    app.add_option("--files", files, "files");
    app.add_option("--config", "a file");
    add_inherited(app, "cache_dir", "nothing is downloaded");
    if (has_positional) app.add_option("prompt,--prompt", prompt, "a prompt");
  }
  void parse(const Words& words) { parse_options(app, "sample", words); }
};

std::string sample_error(const Words& words, bool has_positional = false) {
  Sample sample(has_positional);
  return testing::error_message([&] { sample.parse(words); });
}

TEST(ParseOptionsTest, DashesAndUnderscoresAreTheSameInNamesAndKeptInValues) {
  Sample sample(/*has_positional=*/true);
  sample.parse({"--seq-len", "128K", "--label=a-b=c", "--prompt", "--not-an-option", "--files", "a-b", "c"});
  EXPECT_EQ(sample.seq_len, 131072);
  EXPECT_EQ(sample.label, "a-b=c");
  EXPECT_EQ(sample.prompt, "--not-an-option");
  EXPECT_EQ(sample.files, (Words{"a-b", "c"}));
}

// CLI11 took the next word for the value: "--label= --seed 7" had the label "--seed".
TEST(ParseOptionsTest, AnEmptyValueIsAValue) {
  Sample sample;
  sample.parse({"--label=", "--seed", "7"});
  EXPECT_EQ(sample.label, "");
  EXPECT_EQ(sample.seed, 7);
  EXPECT_EQ(sample_error({"--chat="}), "--chat: '' is no truth value; use True or False");
}

TEST(ParseOptionsTest, AMissingValueIsToldEvenBeforeAnotherOption) {
  const std::string told = "--label: a value must follow; write --label=VALUE where it begins with a dash";
  EXPECT_EQ(sample_error({"--label"}), told);
  EXPECT_EQ(sample_error({"--label", "--seed", "7"}), told);
}

TEST(ParseOptionsTest, ABooleanStandsAloneOrTakesAValue) {
  for (const auto& [words, expected] : std::vector<std::pair<Words, bool>>{{{"--chat"}, true},
                                                                           {{"--chat", "false"}, false},
                                                                           {{"--chat=True"}, true},
                                                                           {{"--chat", "--seed", "1"}, true}}) {
    Sample sample;
    sample.parse(words);
    EXPECT_EQ(sample.chat, expected);
  }
  EXPECT_EQ(sample_error({"--chat", "perhaps"}), "--chat: 'perhaps' is no truth value; use True or False");
}

TEST(ParseOptionsTest, ABooleanLeavesATextToThePositionals) {
  Sample sample(/*has_positional=*/true);
  sample.parse({"--chat", "hello"});
  EXPECT_TRUE(sample.chat);
  EXPECT_EQ(sample.prompt, "hello");
}

TEST(ParseOptionsTest, PositionalsMayLookLikeNumbersOrFollowTwoDashes) {
  for (const auto& [words, expected] :
       std::vector<std::pair<Words, std::string>>{{{"-5 degrees"}, "-5 degrees"},
                                                  {{"--", "--seed"}, "--seed"},
                                                  {{"[INST] a, b [/INST]"}, "[INST] a, b [/INST]"}}) {
    Sample sample(/*has_positional=*/true);
    sample.parse(words);
    EXPECT_EQ(sample.prompt, expected);
  }
  EXPECT_EQ(sample_error({"stray"}), "unexpected argument 'stray'; 'hici sample --help' shows the usage");
  EXPECT_EQ(sample_error({"one", "two"}, true), "unexpected argument 'two'; 'hici sample --help' shows the usage");
}

// As users of argparse know it.
TEST(ParseOptionsTest, OfAnOptionThatIsGivenAgainTheLastValueCounts) {
  Sample sample;
  ::testing::internal::CaptureStderr();
  sample.parse({"--seed", "1", "--seq_len", "4K",    "--seed=2", "--chat", "--context_lengths", "8K",
                "--seed", "3", "--chat",    "False", "--label",  "a",      "--label",           "http://user:key@host",
                "--stop", "a", "--stop",    "b"});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "--label given twice: the last one is used\n--seq_len given twice: 8K is used\n"
            "--seed given 3 times: 3 is used\n--chat given twice: False is used\n");
  EXPECT_EQ(sample.seed, 3);
  EXPECT_EQ(sample.seq_len, 8192);
  EXPECT_FALSE(sample.chat);
  EXPECT_EQ(sample.stop, (Words{"a", "b"}));
  EXPECT_NE(effective_options(sample.app).find("seed = 3\n"), std::string::npos);
  EXPECT_EQ(sample_error({"--seed", "1", "--seed", "-2"}), "--seed: -2 is out of range; use 0 to 1000000000000");
  EXPECT_EQ(sample_error({"hello", "--prompt", "again"}, true), "--prompt: given twice; give it once");
}

TEST(ParseOptionsTest, AllThatIsWrongIsToldAtOnce) {
  Sample sample;
  sample.app.add_option("--data_path", sample.label, "a token file")->required();
  const std::string message = testing::error_message(
      [&] { sample.parse({"--sed", "3", "--learning_rate", "fast", "--seq_len=1", "--seed", "-1"}); });
  EXPECT_EQ(
      message,
      "unknown option: --sed (did you mean --seed?); 'hici sample --help' lists them; --seq_len: 1 is out of "
      "range; use 2 to 1073741824; --seed: -1 is out of range; use 0 to 1000000000000; --learning_rate: 'fast' is "
      "no number; use 0 to 1; --data_path: missing; give a value, 'hici help sample' says what it is");
}

// A name of dashes alone used to leave as an exception of std::string.
TEST(ParseOptionsTest, DashesAloneAreAnUnknownOption) {
  for (const char* word : {"---", "--=x", "-----"})
    EXPECT_EQ(sample_error({word}).find("unknown option: "), 0U) << sample_error({word});
}

class ParseConfigTest : public ::testing::Test {
 protected:
  std::string file(const std::string& text) {
    write_file_atomically(folder_.path() / "run.ini", text);
    return (folder_.path() / "run.ini").string();
  }
  testing::TemporaryFolder folder_;
};

TEST_F(ParseConfigTest, TheCommandLineWinsOverTheFile) {
  Sample sample;
  sample.parse({"--config", file("seed = 7\nseq-len = 4K\nchat = True\nstop = \"a\" \"b c\"\n"), "--seed", "8"});
  EXPECT_EQ(sample.seed, 8);
  EXPECT_EQ(sample.seq_len, 4096);
  EXPECT_TRUE(sample.chat);
  EXPECT_EQ(sample.stop, (Words{"a", "b c"}));
}

TEST_F(ParseConfigTest, MistakesAreNamedWithFileAndLine) {
  const std::string path = file("seed = -1\n\nlr = 3\nlearning_rte = 4\nseed2 = \n");
  EXPECT_EQ(sample_error({"--config", path}),
            path + ": line 3: unknown option lr; " + path + ": line 4: unknown option learning_rte (did you mean " +
                "--learning_rate?); " + path + ": line 5: unknown option seed2 (did you mean --seed?); " + path +
                ": line 1: --seed: -1 is out of range; use 0 to 1000000000000");
  EXPECT_ERROR_SAYS(Sample().parse({"--config", path, "--config", path}), "--config: given twice; give it once");
  const std::string twice = file("seq_len = 4K\ncontext_lengths = 8K\n");
  EXPECT_EQ(sample_error({"--config", twice}), twice + ": line 2: --seq_len: given twice; give it once");
}

TEST_F(ParseConfigTest, OptionsInForceComeBack) {
  Sample first;
  first.parse(
      {"--label", " a \"b\" # c, d\\", "--seq_len", "128K", "--chat", "--stop", "x;", "--stop", "", "--files", "f g"});
  const std::string text = effective_options(first.app);
  EXPECT_NE(text.find("seq_len = 131072\n"), std::string::npos) << text;
  EXPECT_NE(text.find("# seed = 42\n"), std::string::npos) << text;
  Sample second;
  second.parse({"--config", file(text)});
  EXPECT_EQ(second.label, first.label);
  EXPECT_EQ(second.seq_len, 131072);
  EXPECT_TRUE(second.chat);
  EXPECT_EQ(second.stop, (Words{"x;", ""}));
  EXPECT_EQ(second.files, (Words{"f g"}));
  EXPECT_EQ(effective_options(second.app), text);
}

TEST_F(ParseConfigTest, AValueThatTheFileCannotHoldIsRefused) {
  Sample sample;
  sample.parse({"--label", "two\nlines"});
  EXPECT_ERROR_SAYS(effective_options(sample.app), "--label: has a line end or a NUL in it");
}

}  // namespace
}  // namespace hici::commands
