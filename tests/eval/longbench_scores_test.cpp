// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/scores.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hici::eval {
namespace {

using testing::TemporaryFolder;

std::string row(const std::string& text, const std::string& answer, int64_t length) {
  return nlohmann::json{{"pred", text}, {"answers", {answer}}, {"all_classes", nullptr}, {"length", length}}.dump() +
         "\n";
}

TEST(LongBenchScoresTest, AScoreIsTheMeanOfItsRowsToTwoDecimals) {
  const nlohmann::json expected = read_json_file(HICI_SOURCE_DIR "/tests/eval/data/longbench_scores.json");
  const LongBenchModelScores scores = score_longbench(HICI_SOURCE_DIR "/tests/eval/data/longbench", {});
  EXPECT_EQ(scores.model, "longbench");
  ASSERT_EQ(scores.tasks.size(), 21u);
  const nlohmann::ordered_json result = longbench_result(scores, false);
  for (const auto& [name, rows] : expected.items()) {
    double sum = 0;
    for (const double value : rows) sum += value;
    EXPECT_EQ(result[name].get<double>(), rounded_to_cents(100 * sum / static_cast<double>(rows.size()))) << name;
  }
  EXPECT_EQ(result.begin().key(), "narrativeqa") << "LongBench's order";
}

TEST(LongBenchScoresTest, BucketsGoByTheLengthOfTheContext) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "qasper.jsonl", row("a b", "a b", 3999) + row("x", "b c", 0) + row("b", "b", 4000));
  const LongBenchModelScores scores = score_longbench(folder.path(), {.datasets = {}, .by_length = true});
  const nlohmann::ordered_json result = longbench_result(scores, true);
  EXPECT_EQ(result.dump(), R"({"qasper":{"0-4k":50.0,"4-8k":100.0,"8k+":null}})");
  EXPECT_EQ(scores.tasks[0].buckets[0].num_rows, 2);
  EXPECT_TRUE(std::isnan(scores.tasks[0].buckets[2].score));
}

TEST(LongBenchScoresTest, RefusesFoldersThatAreNone) {
  const TemporaryFolder folder;
  EXPECT_ERROR_SAYS(score_longbench(folder / "none", {}), "is no directory");
  EXPECT_ERROR_SAYS(score_longbench(folder.path(), {}), "has no predictions");
  write_file_atomically(folder / "qasper.jsonl", row("a", "a", 1));
  EXPECT_ERROR_SAYS(score_longbench(folder.path(), {.datasets = {"trec"}}), "has no trec.jsonl");
  write_file_atomically(folder / "quasper.jsonl", row("a", "a", 1));
  EXPECT_ERROR_SAYS(score_longbench(folder.path(), {}),
                    "'quasper' is no data set of LongBench; known: narrativeqa, qasper, multifieldqa_en");
}

TEST(LongBenchScoresTest, MoreRowsThanTheDataSetHasWerePredictedTwice) {
  const TemporaryFolder folder;
  std::string rows;
  for (int i = 0; i < 151; ++i) rows += row("a", "a", 9000);
  write_file_atomically(folder / "multifieldqa_en.jsonl", rows);
  EXPECT_ERROR_SAYS(score_longbench(folder.path(), {}), "has 151 rows and multifieldqa_en 150");
  EXPECT_EQ(score_longbench(folder.path(), {.datasets = {}, .by_length = true}).tasks[0].buckets[2].num_rows, 151);
}

TEST(LongBenchScoresTest, RoundsAsPythonDoes) {
  EXPECT_EQ(rounded_to_cents(2.675), 2.67);  // the double is a little less
  EXPECT_EQ(rounded_to_cents(0.125), 0.12);
  EXPECT_EQ(rounded_to_cents(0.375), 0.38);
}

}  // namespace
}  // namespace hici::eval
