// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/longbench_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hici::report {
namespace {

eval::LongBenchTaskScore score(const char* name, double all, double short_ones = 10) {
  eval::LongBenchTaskScore task{
      .task = eval::find_longbench_task(name), .all = {.num_rows = 1, .score = all}, .buckets = {}};
  task.buckets[0] = {.num_rows = 1, .score = short_ones};
  return task;
}

LongBenchResult result(const char* label, const std::vector<eval::LongBenchTaskScore>& tasks) {
  return {.label = label, .scores = {.model = label, .tasks = tasks}};
}

const std::vector<LongBenchResult> kModels = {
    result("a&b", {score("qasper", 20), score("hotpotqa", 30), score("musique", 50), score("lcc", 60.5)}),
    result("c", {score("qasper", 25)})};

TEST(LongBenchTableTest, MeansAreOverWhatWasScored) {
  const Table table = longbench_groups(kModels);
  ASSERT_EQ(table.value_columns.size(), 8u);
  const std::vector<double>& scores = table.rows[0].values;
  EXPECT_EQ(scores[0], 20);                           // single-doc QA
  EXPECT_EQ(scores[1], 40);                           // multi-doc QA
  EXPECT_TRUE(std::isnan(scores[2]));                 // summarisation
  EXPECT_EQ(scores[5], 60.5);                         // code
  EXPECT_EQ(scores[6], (20 + 30 + 50 + 60.5) / 4);    // tasks
  EXPECT_DOUBLE_EQ(scores[7], (20 + 40 + 60.5) / 3);  // groups
}

TEST(LongBenchTableTest, ShowsWhatIsMissingAsADash) {
  EXPECT_EQ(table_text(longbench_datasets(kModels)),
            "data set  group          metric             a&b      c\n"
            "------------------------------------------------------\n"
            "qasper    single-doc QA  F1               20.00  25.00\n"
            "hotpotqa  multi-doc QA   F1               30.00      -\n"
            "musique   multi-doc QA   F1               50.00      -\n"
            "lcc       code           edit similarity  60.50      -\n");
}

TEST(LongBenchTableTest, BucketsHaveRowsForGroupsAndMeans) {
  const Table table = longbench_by_length({kModels[1]});
  ASSERT_EQ(table.rows.size(), 1u + 8u);
  EXPECT_EQ(table.rows[0].names, (std::vector<std::string>{"c", "qasper"}));
  EXPECT_EQ(table.rows[0].values[0], 10);
  EXPECT_TRUE(std::isnan(table.rows[0].values[1]));
  EXPECT_EQ(table.rows[1].names[1], "single-doc QA");
  EXPECT_EQ(table.rows[8].names[1], "mean of groups");
  EXPECT_EQ(table.rows[8].values[0], 10);
}

TEST(LongBenchTableTest, TheBestModelIsMarkedInEachColumnOrRow) {
  EXPECT_TRUE(longbench_groups(kModels).is_best(1, 0));
  EXPECT_FALSE(longbench_groups(kModels).is_best(0, 0));
  EXPECT_TRUE(longbench_datasets(kModels).is_best(0, 1));
  EXPECT_FALSE(longbench_datasets(kModels).is_best(0, 0));
}

}  // namespace
}  // namespace hici::report
