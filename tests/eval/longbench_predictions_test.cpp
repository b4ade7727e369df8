// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/predictions.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace hici::eval {
namespace {

const std::string kGoodPredictions = R"({"pred": "a", "answers": ["b"], "all_classes": ["b", "c"], "length": 5})";

class LongBenchPredictionsTest : public ::testing::Test {
 protected:
  std::vector<LongBenchPrediction> read(const std::string& content, const char* dataset = "trec") {
    write_file_atomically(folder_ / "x.jsonl", content);
    return read_longbench_predictions(folder_ / "x.jsonl", *find_longbench_task(dataset), true);
  }

 private:
  testing::TemporaryFolder folder_;
};

TEST_F(LongBenchPredictionsTest, ReadsWhatATaskNeeds) {
  const auto rows = read(kGoodPredictions + "\n" + kGoodPredictions);
  ASSERT_EQ(rows.size(), 2u) << "the last line may lack its end";
  EXPECT_EQ(rows[1].text, "a");
  EXPECT_EQ(rows[1].answers, std::vector<std::string>{"b"});
  EXPECT_EQ(rows[1].classes, (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(rows[1].length, 5);
  EXPECT_TRUE(read(kGoodPredictions, "hotpotqa")[0].classes.empty());
}

TEST_F(LongBenchPredictionsTest, NamesTheLineAndTheField) {
  const auto second = [&](const char* row) { return read(kGoodPredictions + "\n" + row + "\n"); };
  EXPECT_ERROR_SAYS(second(R"({"answers": ["b"], "all_classes": ["b"], "length": 5})"),
                    "x.jsonl: line 2: has no 'pred'");
  EXPECT_ERROR_SAYS(second(R"({"pred": 3, "answers": ["b"]})"), "line 2: pred is 3, expected a string");
  EXPECT_ERROR_SAYS(second(R"({"pred": "a", "answers": "b"})"), "line 2: answers is \"b\", expected a list of strings");
  EXPECT_ERROR_SAYS(second(R"({"pred": "a", "answers": []})"), "line 2: answers is an empty list");
  EXPECT_ERROR_SAYS(second(R"({"pred": "a", "answers": ["b"], "all_classes": null})"), "line 2: has no 'all_classes'");
  EXPECT_ERROR_SAYS(second(R"({"pred": "a", "answers": ["b"], "all_classes": ["b"], "length": -1})"),
                    "line 2: length is -1");
  EXPECT_ERROR_SAYS(second(R"({"pred": "a", "answers": ["b"], "all_classes": ["b"], "length": NaN})"),
                    "line 2: not JSON");
  EXPECT_ERROR_SAYS(second("[1]"), "line 2: is [1], expected a JSON object");
  EXPECT_ERROR_SAYS(second(R"({"pred": "a", "answers": ["b"], "all)"), "line 2: not JSON");
  EXPECT_ERROR_SAYS(second(""), "line 2: not JSON");
}

TEST_F(LongBenchPredictionsTest, AnEmptyFileIsAnError) { EXPECT_ERROR_SAYS(read(""), "x.jsonl: is empty"); }

TEST_F(LongBenchPredictionsTest, ACaseCountsOnce) {
  const std::string row = R"({"_id": "7f", "pred": "a", "answers": ["b"], "length": 1})";
  EXPECT_ERROR_SAYS(read(row + "\n" + row, "qasper"), "line 2: _id '7f' is that of line 1 too");
  EXPECT_EQ(read(row + "\n" + kGoodPredictions + "\n" + kGoodPredictions, "qasper").size(), 3u)
      << "equal rows without _id do occur";
}

}  // namespace
}  // namespace hici::eval
