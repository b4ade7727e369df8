// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/passkey/passkey.h"

#include "hici/eval/passkey/prompt.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"
#include "text/trained.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hici::eval {
namespace {

using hici::testing::TemporaryFolder;

config::ModelConfig model_config(config::Family family, int64_t positions) {
  config::ModelConfig config;
  config.family = family;
  config.max_position_embeddings = positions;
  return config;
}

TEST(PasskeyPlanTest, LengthsAreMultiplesOfTheIntervalAndSeedsBeginAgainAtEach) {
  const PasskeyPlan plan{.max_tokens = 3500, .interval = 1000, .num_tests = 4};
  EXPECT_EQ(plan.lengths(), (std::vector<int64_t>{1000, 2000, 3000}));
  ASSERT_EQ(plan.num_cases(), 12);
  EXPECT_EQ(plan.length_of(3), 1000);
  EXPECT_EQ(plan.length_of(4), 2000);
  EXPECT_EQ(plan.seed_of(11), 3u);
}

TEST(PasskeyPlanTest, RangesAreOneLineEach) {
  const auto message = [](PasskeyPlan plan) { return hici::testing::error_message([&] { plan.validate(); }); };
  EXPECT_EQ(message({.interval = 273}),
            "`interval`: 273 tokens leave no room for filler, which comes in whole 1024 characters; use 274 or more");
  EXPECT_EQ(passkey_filler_length(273), 0);
  EXPECT_EQ(passkey_filler_length(274), 1024);
  EXPECT_EQ(message({.max_tokens = 500, .interval = 600}),
            "`max_tokens`: 500 is below `interval` 600, the first length; use as many or more");
  EXPECT_EQ(message({.max_tokens = int64_t{1} << 40}),
            "`max_tokens`: 1099511627776 is out of range; use up to 1073741824");
  EXPECT_EQ(message({.num_tests = 0}), "`num_tests`: 0 is not positive; use 1 or more");
  EXPECT_EQ(message({.max_tokens = 4000, .interval = 1000, .num_tests = 1 << 21}),
            "`num_tests`: 2097152 for each of 4 lengths are more than 4194304 tests; use fewer");
}

TEST(PasskeyRopeTest, TheFactorIsThatOfTheTrainingUpToItsContextAndBeyondThatOfTheLongestPrompt) {
  config::ModelConfig llama = model_config(config::Family::kLlama, 4096);
  llama.rope.context_factor = 2;
  const PasskeyRope rope = passkey_rope(llama, 8192, 33'000);
  EXPECT_EQ(rope.factor(1024), 2);
  EXPECT_EQ(rope.factor(8192), 2);
  EXPECT_EQ(rope.factor(8193), 9);  // ceil(33000 / 4096)
  EXPECT_EQ(rope.factor(33'000), 9);
}

TEST(PasskeyRopeTest, BeyondTheTrainingTheFactorIsAWholeNumberForQwen3Too) {
  config::ModelConfig qwen = model_config(config::Family::kQwen3, 40'960);
  qwen.rope.context_factor = 1.6;  // trained at 65536: the ratio, not rounded
  const PasskeyRope rope = passkey_rope(qwen, 65'536, 100'000);
  EXPECT_EQ(rope.factor(65'536), 1.6);
  EXPECT_EQ(rope.factor(65'537), 3);
}

TEST(PasskeyRopeTest, ALinearScalingOfTheModelCountsToTheWholeNumber) {
  config::ModelConfig config = model_config(config::Family::kLlama, 4096);
  config.rope.type = config::RopeType::kLinear;
  config.rope.factor = 2;
  EXPECT_EQ(passkey_rope(config, 8192, 12'000).factor(12'000), 1.5);  // 2 * 1.5 = ceil(12000 / 4096)
}

TEST(PasskeyRopeTest, WithNoContextWhatTheModelSupportsIsTheLimitAndTheMessageSaysTheFactor) {
  const config::ModelConfig config = model_config(config::Family::kLlama, 4096);
  EXPECT_EQ(passkey_rope(config, 0, 4096).factor(4096), 1);
  EXPECT_ERROR_SAYS(passkey_rope(config, 0, 9000),
                    "`max_tokens`: 9000 is beyond the 4096 tokens that the model supports without scaling, and would "
                    "need a RoPE factor of 3; give the `context_size`");
}

TEST(PasskeyQuestionTest, APromptIsEncodedWholeAndTheKeyAsItStandsBehindTheQuestion) {
  const TemporaryFolder folder;
  for (const bool puts_bos : {false, true}) {
    const text::Tokenizer tokenizer = hici::testing::train_small_tokenizer(folder, puts_bos);
    const PasskeyPrompt prompt = make_passkey_prompt(1024, 5);
    const PasskeyQuestion question = passkey_question(tokenizer, 300, 5);
    EXPECT_EQ(question.key, prompt.key);
    EXPECT_EQ(question.depth, static_cast<double>(prompt.prefix_length) / 1024);
    const text::Ids ids = tokenizer.encode(prompt.text, true);
    EXPECT_EQ(question.prompt, generate::Ids(ids.begin(), ids.end()));
    EXPECT_EQ(question.prompt.front() == 0, puts_bos);
    ASSERT_EQ(question.right.size(), 2u);
    // Prompt and right answer are what the text of both gives.
    const text::Ids whole = tokenizer.encode(prompt.text + " " + std::to_string(prompt.key), true);
    generate::Ids joined = question.prompt;
    joined.insert(joined.end(), question.right[1].begin(), question.right[1].end());
    EXPECT_EQ(joined, generate::Ids(whole.begin(), whole.end()));
  }
}

TEST(PasskeyQuestionTest, RightIsAnAnswerThatBeginsWithAllTokensOfTheKey) {
  const PasskeyQuestion question{.key = 1234, .prompt = {9}, .right = {{5, 6}, {7, 5, 6}}};
  EXPECT_EQ(question.num_answer_tokens(), 3);
  EXPECT_TRUE(question.is_right({5, 6}));
  EXPECT_TRUE(question.is_right({5, 6, 8}));
  EXPECT_TRUE(question.is_right({7, 5, 6, 1}));
  for (const generate::Ids& wrong : {generate::Ids{}, {5}, {7, 5}, {6, 5}, {7, 6, 5}, {8, 7, 5, 6}})
    EXPECT_FALSE(question.is_right(wrong));
}

TEST(PasskeyQuestionTest, AnswersAreScoredByTheirTokensAndShownWithoutWhatFollowsTheKey) {
  const TemporaryFolder folder;
  const text::Tokenizer tokenizer = hici::testing::train_small_tokenizer(folder);
  const PasskeyQuestion question = passkey_question(tokenizer, 300, 2);
  const std::string key = std::to_string(question.key);
  generate::Ids answer = question.right[1];
  const generate::Ids more = question.right[0];
  while (static_cast<int64_t>(answer.size()) < question.num_answer_tokens() + 3) answer.push_back(more[0]);
  const PasskeyTest right = passkey_test(question, answer, tokenizer);
  EXPECT_TRUE(right.is_correct);
  EXPECT_EQ(right.answer.substr(0, key.size() + 1), " " + key);
  EXPECT_EQ(right.prompt_tokens, static_cast<int64_t>(question.prompt.size()));
  answer.erase(answer.begin());
  answer.erase(answer.begin());
  EXPECT_FALSE(passkey_test(question, answer, tokenizer).is_correct);
  EXPECT_FALSE(passkey_test(question, {}, tokenizer).is_correct);
}

PasskeyTest test_at(double depth, bool is_correct) {
  return {.depth = depth, .answer = "x", .is_correct = is_correct, .prompt_tokens = 100};
}

TEST(PasskeyResultTest, AccuraciesAreMeansOverAllAndOverTenthsOfTheDepth) {
  PasskeyLength length{.target = 1000,
                       .tests = {test_at(0, true), test_at(0.0999, false), test_at(0.1, true), test_at(0.999, false)}};
  length.tests[0].prompt_tokens = 104;
  EXPECT_EQ(length.accuracy(), 0.5);
  EXPECT_EQ(length.mean_tokens(), 101);
  const auto by_depth = length.accuracy_by_depth();
  EXPECT_EQ(by_depth[0], 0.5);
  EXPECT_EQ(by_depth[1], 1);
  EXPECT_EQ(by_depth[9], 0);
  for (size_t i = 2; i < 9; ++i) EXPECT_TRUE(std::isnan(by_depth[i])) << i;
}

TEST(PasskeyResultTest, JsonReadsBackAndHoldsNoNumberWhereNothingWasMeasured) {
  const PasskeyLength length{.target = 2000, .rope_factor = 3, .tests = {test_at(0.25, true), test_at(0.5, false)}};
  const nlohmann::json result{{"lengths", {to_json(length), to_json(PasskeyLength{.target = 5, .tests = {}})}}};
  EXPECT_EQ(result["lengths"][0]["accuracy"], 0.5);
  EXPECT_EQ(result["lengths"][1].count("accuracy") + result["lengths"][1].count("tokens"), 0u);
  const std::vector<PasskeyLength> read = passkey_lengths_from_json(result, "r.json");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(to_json(read[0]), to_json(length));
}

TEST(PasskeyResultTest, ForeignFilesAreChecked) {
  nlohmann::json test = to_json(test_at(0.5, true));
  test["depth"] = 1;
  EXPECT_ERROR_SAYS(passkey_test_from_json(test, "r.json"), "r.json: depth 1 is not in [0, 1)");
  test.erase("answer");
  test["depth"] = 0.5;
  EXPECT_ERROR_SAYS(passkey_test_from_json(test, "r.json"), "answer");
  EXPECT_ERROR_SAYS(passkey_lengths_from_json({{"lengths", 5}}, "r.json"), "r.json: 'lengths' is no list");
}

TEST(PasskeyResultTest, TestsComeByLengthInTheOrderOfThePlan) {
  const PasskeyPlan plan{.max_tokens = 900, .interval = 300, .num_tests = 2};
  std::vector<PasskeyTest> tests(6);
  for (size_t i = 0; i < tests.size(); ++i) tests[i].key = static_cast<int64_t>(i);
  const auto lengths = passkey_lengths(plan, {.context = 600, .training_factor = 1, .long_factor = 2}, tests);
  ASSERT_EQ(lengths.size(), 3u);
  EXPECT_EQ(lengths[2].target, 900);
  EXPECT_EQ(lengths[1].rope_factor, 1);
  EXPECT_EQ(lengths[2].rope_factor, 2);
  EXPECT_EQ(lengths[2].tests[1].key, 5);
}

}  // namespace
}  // namespace hici::eval
