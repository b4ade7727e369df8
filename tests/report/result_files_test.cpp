// SPDX-License-Identifier: Apache-2.0
#include "hici/report/result_files.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

namespace hici::report {
namespace {

class ResultFilesTest : public ::testing::Test {
 protected:
  ReportData read(const std::string& text, const std::string& name = "a.json") const {
    std::filesystem::create_directories((root_ / name).parent_path());
    write_file_atomically(root_ / name, text);
    return read_result_file(root_ / name);
  }

  testing::TemporaryFolder root_;
};

std::string passkey(const std::string& lengths) {
  return R"({"command": "eval passkey", "label": "m", "attention": "hici", "lengths": )" + lengths + "}";
}

std::string passkey_test(const std::string& depth, const std::string& is_correct) {
  return R"({"seed": 1, "key": 5, "answer": "5", "prompt_tokens": 9, "depth": )" + depth + R"(, "correct": )" +
         is_correct + "}";
}

TEST_F(ResultFilesTest, AResultOfPasskeyIsOneForEachLength) {
  const ReportData data =
      read(passkey(R"([{"target": 4096, "rope_factor": 1, "tests": [)" + passkey_test("0.25", "true") + "," +
                   passkey_test("0.5", "false") + R"(]}, {"target": 8192, "rope_factor": 1, "tests": []}])"));
  ASSERT_EQ(data.passkeys.size(), 1U) << "a length without answers is none";
  EXPECT_EQ(data.passkeys[0].label, "m");
  EXPECT_EQ(data.passkeys[0].attention, "HiCI");
  EXPECT_EQ(data.passkeys[0].length.target, 4096);
  EXPECT_EQ(data.passkeys[0].length.accuracy(), 0.5);
}

TEST_F(ResultFilesTest, BadResultsOfPasskeyAreNamed) {
  EXPECT_ERROR_SAYS(read(passkey("7")), "lengths");
  EXPECT_ERROR_SAYS(read(passkey("[7]")), "a.json");
  EXPECT_ERROR_SAYS(read(passkey(R"([{"target": 0, "tests": []}])")), "target");
  EXPECT_ERROR_SAYS(
      read(passkey(R"([{"target": 9, "rope_factor": 1, "tests": [)" + passkey_test("1.5", "true") + "]}]")), "depth");
}

TEST_F(ResultFilesTest, RollingWindowsAreACondition) {
  const auto result = [&](const std::string& more) {
    const ReportData data = read(
        R"({"command": "eval ppl", "label": "m", "attention": "full", "seq_len": 64, "perplexity": 7, "data_path": "a",
                 "data_sha256": "d")" +
        more + "}");
    return data.perplexities.at(0).conditions;
  };
  const Conditions rolling = result(R"(, "rolling": true, "documents": 62, "prefix_token_id": 1)");
  EXPECT_EQ(rolling.caption(), ", a, rolling windows over 62 documents, each behind token 1");
  EXPECT_FALSE(rolling.comparable_with(result(R"(, "rolling": true, "documents": 62, "prefix_token_id": 2)")));
  EXPECT_FALSE(rolling.comparable_with(result(R"(, "sliding_window": 64)")));
  EXPECT_EQ(result("").caption(), ", a; the files do not say how far the windows are apart");
}

TEST_F(ResultFilesTest, SharesOfAttentionMustBeSharesOfEachHead) {
  const auto result = [](const std::string& layers, const std::string& global) {
    return R"({"command": "eval attention", "label": "m", "layers": )" + layers + R"(, "heads": 2, "global": )" +
           global + R"(, "local": [[0, 0.25]], "token": [[0.5, 0.25]]})";
  };
  const ReportData data = read(result("1", "[[0.5, 0.5000001]]"));
  ASSERT_EQ(data.attentions.size(), 1U);
  EXPECT_EQ(data.attentions[0].local, (AttentionResult::Shares{{0, 0.25}}));
  EXPECT_ERROR_SAYS(read(result("2", "[[0.5, 0.5], [1, 1]]")), "local has 1 layers, expected 2");
  EXPECT_ERROR_SAYS(read(result("1", "[[0.5]]")), "expected 2 shares");
  EXPECT_ERROR_SAYS(read(result("1", "[[0.5, 1.5]]")), "global has a share of 1.5");
  EXPECT_ERROR_SAYS(read(result("1", "[[0.5, null]]")), "global has a share of null");
}

TEST_F(ResultFilesTest, ScoresOfLongBenchAreThoseOfTheFolder) {
  const ReportData data = read(R"({"qasper": 20.5, "lcc": null})", "pred/my-model/result.json");
  ASSERT_EQ(data.longbench.size(), 1U);
  const LongBenchResult& result = data.longbench[0];
  EXPECT_FALSE(result.by_length);
  EXPECT_EQ(result.label, "my-model");
  ASSERT_EQ(result.scores.tasks.size(), 2U);
  EXPECT_EQ(result.scores.tasks[0].all.score, 20.5);
  EXPECT_TRUE(std::isnan(result.scores.tasks[1].all.score));
  EXPECT_TRUE(read(R"({"qasper": 20.5})", "scores.json").longbench.empty());
  EXPECT_TRUE(read(R"({"accuracy": 20.5})", "result.json").longbench.empty());
}

TEST_F(ResultFilesTest, LongBenchEHasThreeScoresForEachDataSet) {
  const ReportData data = read(R"({"qasper": {"0-4k": 20.5, "4-8k": null, "8k+": 3}})", "result.json");
  ASSERT_EQ(data.longbench.size(), 1U);
  EXPECT_TRUE(data.longbench[0].by_length);
  const auto& buckets = data.longbench[0].scores.tasks.at(0).buckets;
  EXPECT_EQ(buckets[0].score, 20.5);
  EXPECT_TRUE(std::isnan(buckets[1].score));
  EXPECT_EQ(buckets[2].score, 3);
}

TEST_F(ResultFilesTest, BadScoresOfLongBenchAreNamed) {
  EXPECT_ERROR_SAYS(read(R"({"qasper": 1, "squad": 2})", "result.json"), "'squad' is no data set of LongBench");
  EXPECT_ERROR_SAYS(read(R"({"qasper": 100.5})", "result.json"), "qasper is 100.5");
  EXPECT_ERROR_SAYS(read(R"({"qasper": "1"})", "result.json"), "qasper");
  EXPECT_ERROR_SAYS(read(R"({"lcc": 1, "qasper": {"0-4k": 1}})", "result.json"), "qasper");
  EXPECT_ERROR_SAYS(read(R"({"lcc": {"8k+": -1}})", "result.json"), "lcc: 8k+ is -1");
}

TEST_F(ResultFilesTest, VerdictsCountWithoutThoseThatAreMissing) {
  const ReportData data = read(R"({"by_rule": {"m": {"5_response.txt": [4, 6]}}, "judge_model": "gpt",
                                   "by_judge": {"m": {"5_response.txt": [3, 5, 1]}}})");
  ASSERT_EQ(data.retrievals.size(), 2U);
  const RetrievalResult& judged = data.retrievals[1];
  EXPECT_EQ(judged.label, "m");
  EXPECT_EQ(judged.judge, "gpt");
  EXPECT_EQ(judged.num_items, 5);
  EXPECT_EQ(judged.num_correct, 3);
  EXPECT_EQ(judged.num_answers, 5);
  EXPECT_EQ(judged.conditions.unstated, std::vector<std::string>{"the test cases"});
}

TEST_F(ResultFilesTest, BadVerdictsAreNamed) {
  const auto judged = [](const std::string& files) {
    return R"({"by_rule": {}, "judge_model": "gpt", "by_judge": {"m\u001b": )" + files + "}}";
  };
  EXPECT_ERROR_SAYS(read(judged(R"({"5_response.txt": [6, 5]})")), "expected [correct, answers]");
  EXPECT_ERROR_SAYS(read(judged(R"({"5_response.txt": [-1, 5]})")), "expected [correct, answers]");
  EXPECT_ERROR_SAYS(read(judged(R"({"5_response.txt": [1]})")), "expected [correct, answers]");
  EXPECT_ERROR_SAYS(read(judged(R"({"five": [1, 2]})")), "'five' does not begin with the number");
  EXPECT_ERROR_SAYS(read(judged(R"({"99999999999999999999_response.txt": [1, 2]})")), "does not begin with the number");
  EXPECT_ERROR_SAYS(read(judged("5")), "m?");
}

}  // namespace
}  // namespace hici::report
