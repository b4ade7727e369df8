// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/metrics.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

#include <sstream>

namespace hici::eval {
namespace {

LongBenchPrediction row_of(std::string text, std::vector<std::string> answers) {
  return {.text = std::move(text), .answers = std::move(answers), .classes = {}, .length = 0, .subject = "x: line 1"};
}

double score(const char* dataset, std::string text, std::vector<std::string> answers) {
  return score_prediction(*find_longbench_task(dataset), row_of(std::move(text), std::move(answers)));
}

// data/longbench_scores.json: each row by LongBench's formulas over jieba, rouge and fuzzywuzzy (make_expected.py).
TEST(LongBenchMetricsTest, EveryRowScoresAsInPython) {
  const nlohmann::json expected = read_json_file(HICI_SOURCE_DIR "/tests/eval/data/longbench_scores.json");
  ASSERT_EQ(expected.size(), longbench_tasks().size());
  for (const LongBenchTask& task : longbench_tasks()) {
    const std::string name(task.name);
    const auto rows =
        read_longbench_predictions(HICI_SOURCE_DIR "/tests/eval/data/longbench/" + name + ".jsonl", task, true);
    ASSERT_EQ(rows.size(), expected[name].size()) << name;
    for (size_t i = 0; i < rows.size(); ++i)
      EXPECT_DOUBLE_EQ(score_prediction(task, rows[i]), expected[name][i].get<double>()) << rows[i].subject;
  }
}

TEST(LongBenchMetricsTest, FuzzRatioIsThatOfFuzzywuzzyOverLevenshtein) {
  std::istringstream lines(read_file(HICI_SOURCE_DIR "/tests/eval/data/pairs.jsonl", 1 << 20));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json pair = parse_json(line, "pairs.jsonl");
    EXPECT_EQ(fuzz_ratio(pair[0].get<std::string>(), pair[1].get<std::string>()), pair[3].get<int>()) << line;
  }
}

TEST(LongBenchMetricsTest, TheBestAnswerCounts) {
  EXPECT_EQ(score("hotpotqa", "the Eiffel Tower", {"Louvre", "eiffel tower!"}), 1);
  EXPECT_EQ(score("hotpotqa", "nothing", {"Louvre", "Eiffel Tower"}), 0);
}

TEST(LongBenchMetricsTest, OfAFewShotAnswerTheFirstLineCounts) {
  EXPECT_EQ(score("triviaqa", "\n\nParis\nQuestion: and London?", {"Paris"}), 1);
  EXPECT_LT(score("hotpotqa", "\n\nParis\nQuestion: and London?", {"Paris"}), 1);
}

TEST(LongBenchMetricsTest, NumbersShareTheScore) {
  EXPECT_EQ(score("passage_count", "There are 7, or 8.", {"8"}), 0.5);
  EXPECT_EQ(score("passage_count", "no number", {"8"}), 0);
  EXPECT_EQ(score("passage_count", "08", {"8"}), 0);
  EXPECT_EQ(score("passage_retrieval_en", "Paragraph 12", {"Paragraph 12"}), 1);
  EXPECT_EQ(score("passage_retrieval_zh", "段落3", {"段落3"}), 1);
  EXPECT_ERROR_SAYS(score("passage_retrieval_en", "Paragraph 12", {"12"}),
                    "x: line 1: answers: '12' names no paragraph");
}

TEST(LongBenchMetricsTest, AClassInsideTheAnswerDoesNotCountAgainstIt) {
  const std::vector<std::string> classes = {"Date", "Sport", "Date of birth", "Other"};
  EXPECT_EQ(classification_score("Date of birth", "Date of birth", classes), 1);
  EXPECT_EQ(classification_score("Date of birth, Sport", "Date of birth", classes), 0.5);
  EXPECT_EQ(classification_score("Sport", "Date", classes), 0);
  // "ab" is passed over after "a" is taken out, as in Python: two names are left.
  EXPECT_EQ(classification_score("abc", "abc", {"a", "ab", "abc"}), 0.5);
}

TEST(LongBenchMetricsTest, TheFirstLineOfCodeCounts) {
  EXPECT_EQ(code_similarity("\n# a comment\nx = 1\ny = 2", "x = 1"), 1);
  EXPECT_EQ(code_similarity("```", "x = 1"), 0);
  EXPECT_EQ(code_similarity("x = 1 // why", ""), 1) << "no line is left, which equals an empty answer";
}

}  // namespace
}  // namespace hici::eval
