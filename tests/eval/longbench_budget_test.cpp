// SPDX-License-Identifier: Apache-2.0
// Against pred.py with transformers' tokenizer: tests/integration/test_eval_benchmarks.py.
#include "hici/eval/longbench/budget.h"

#include "hici/base/error.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"
#include "text/trained.h"

#include <gtest/gtest.h>

namespace hici::eval {
namespace {

using generate::Ids;

class LongBenchBudgetTest : public ::testing::Test {
 protected:
  LongBenchBudgetTest() : tokenizer_(testing::train_small_tokenizer(folder_, /*puts_bos=*/true)) {
    for (int i = 0; i < 40; ++i) long_ += "The quick brown fox " + std::to_string(i) + ". ";
  }
  Ids encoded(const std::string& text) const {
    const text::Ids ids = tokenizer_.encode(text, true);
    return Ids(ids.begin(), ids.end());
  }

  testing::TemporaryFolder folder_;
  text::Tokenizer tokenizer_;
  std::string long_;
};

TEST_F(LongBenchBudgetTest, TheMiddleGoesByHalvesOfTheTokensAndComesBackAsText) {
  const text::Ids ids = tokenizer_.encode(long_, true);
  const auto length = static_cast<int64_t>(ids.size());
  ASSERT_GT(length, 100);
  EXPECT_EQ(without_middle(tokenizer_, long_, length), long_);
  // BOS is one of the first half's tokens and no part of the text. Of an odd budget the smaller half counts, twice.
  for (const int64_t budget : {20, 21}) {
    const std::string expected =
        tokenizer_.decode(std::span(ids).subspan(1, 9), false) + tokenizer_.decode(std::span(ids).last(10), false);
    EXPECT_EQ(without_middle(tokenizer_, long_, budget), expected);
  }
}

TEST_F(LongBenchBudgetTest, WithoutALengthTheChatFormTakesItsRoomFromThePrompt) {
  const BenchmarkPrompts prompts(tokenizer_, ChatForm::kVicuna, folder_.path());
  const auto form = static_cast<int64_t>(prompts.chat("", "x").size());
  const LongBenchBudget budget{.max_length = 0, .max_new_tokens = 7, .context = form + 40 + 7};
  const Ids ids = fit_longbench_prompt(prompts, long_, true, budget, "x");
  EXPECT_LE(static_cast<int64_t>(ids.size()), form + 40);
  EXPECT_GE(static_cast<int64_t>(ids.size()), form + 30) << "words at the seam may take some tokens more";
  const Ids plain = fit_longbench_prompt(prompts, long_, false, budget, "x");
  EXPECT_EQ(plain, encoded(without_middle(tokenizer_, long_, form + 40)));
  EXPECT_EQ(fit_longbench_prompt(prompts, "The dog", true, budget, "x"), prompts.chat("The dog", "x"));
}

TEST_F(LongBenchBudgetTest, ALengthOfOnesOwnIsKeptOrAnError) {
  const BenchmarkPrompts prompts(tokenizer_, ChatForm::kVicuna, folder_.path());
  LongBenchBudget budget{.max_length = 60, .max_new_tokens = 7, .context = 4000};
  const Ids ids = fit_longbench_prompt(prompts, long_, true, budget, "x");
  EXPECT_EQ(ids, prompts.chat(without_middle(tokenizer_, long_, 60), "x"));
  budget.context = 70;
  EXPECT_ERROR_SAYS(fit_longbench_prompt(prompts, long_, true, budget, "trec.jsonl: line 3"),
                    "trec.jsonl: line 3: has " + std::to_string(ids.size()) +
                        " tokens, cut to `max_length` 60 and in the chat form, and the model's context has room for 63 "
                        "before the answer; use `max_length` 0 or");
  EXPECT_ERROR_SAYS(
      fit_longbench_prompt(prompts, long_, true, {.max_length = 0, .max_new_tokens = 7, .context = 30}, "x"),
      "x: the chat form alone leaves no room for a prompt in the model's context of 30");
}

TEST(LongBenchBudgetCheckTest, NumbersThatLeaveNothingAreErrorsBeforeAnyPrompt) {
  const auto check = [](int64_t max_length, int64_t context) {
    LongBenchBudget{.max_length = max_length, .max_new_tokens = 64, .context = context}.check("trec");
  };
  check(0, 66);
  check(36, 100);
  EXPECT_ERROR_SAYS(check(0, 65), "trec: answers of 64 tokens leave no room for a prompt in the model's context of 65");
  EXPECT_ERROR_SAYS(check(1, 4096), "`max_length`: 1 tokens have no half; use 2 or more");
  EXPECT_ERROR_SAYS(check(37, 100),
                    "`max_length`: 37 tokens and an answer of 64 (trec) are more than the model's context "
                    "of 100; use 0 for what it has room for, or a `context_size` of 101");
}

TEST(TakesChatPromptTest, AllButFewShotAndCode) {
  std::string without;
  for (const LongBenchTask& task : longbench_tasks()) {
    if (!takes_chat_prompt(task)) without += std::string(task.name) + " ";
  }
  EXPECT_EQ(without, "trec triviaqa samsum lsht lcc repobench-p ");
}

}  // namespace
}  // namespace hici::eval
