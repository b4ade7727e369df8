// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/retrieval_table.h"

#include <gtest/gtest.h>

#include <vector>

namespace hici::report {
namespace {

using eval::RetrievalTask;

const std::vector<RetrievalResult> kRetrievalResults = {
    {.label = "m", .task = RetrievalTask::kTopics, .judge = "", .num_items = 10, .num_correct = 49, .num_answers = 50},
    {.label = "m", .task = RetrievalTask::kTopics, .judge = "", .num_items = 5, .num_correct = 50, .num_answers = 50},
    {.label = "n", .task = RetrievalTask::kTopics, .judge = "", .num_items = 10, .num_correct = 0, .num_answers = 0},
    {.label = "m", .task = RetrievalTask::kTopics, .judge = "j", .num_items = 5, .num_correct = 1, .num_answers = 3},
    {.label = "m", .task = RetrievalTask::kLines, .judge = "", .num_items = 200, .num_correct = 2, .num_answers = 4}};

TEST(RetrievalTableTest, TasksAndScorersAreApart) {
  EXPECT_EQ(table_text(retrieval_table(kRetrievalResults, RetrievalTask::kTopics, ScoredBy::kRule)),
            "model             5            10\n"
            "---------------------------------\n"
            "m      1.00 (50/50)  0.98 (49/50)\n"
            "n                 -             -\n");
  const Table judged = retrieval_table(kRetrievalResults, RetrievalTask::kTopics, ScoredBy::kJudge);
  EXPECT_EQ(judged.name, "topics-judged");
  ASSERT_EQ(judged.rows.size(), 1U);
  EXPECT_EQ(judged.rows[0].names, (std::vector<std::string>{"m", "j"}));
  EXPECT_EQ(judged.rows[0].values[0], 1.0 / 3);
  EXPECT_EQ(retrieval_table(kRetrievalResults, RetrievalTask::kLines, ScoredBy::kRule).rows[0].values[0], 0.5);
  EXPECT_TRUE(retrieval_table(kRetrievalResults, RetrievalTask::kLines, ScoredBy::kJudge).rows.empty());
}

TEST(RetrievalTableTest, CountsAreInAFileOfTheirOwn) {
  const Table table = retrieval_counts({kRetrievalResults[3], kRetrievalResults[4]});
  EXPECT_EQ(table_csv(table),
            "task,model,scored by,number,cases,correct,answers\ntopics,m,j,5,,1,3\nlines,m,rule,200,,2,4\n");
  EXPECT_TRUE(table.is_for_files);
}

}  // namespace
}  // namespace hici::report
