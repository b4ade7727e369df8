// SPDX-License-Identifier: Apache-2.0
// LongBench scores in the form that papers print: a row for each model, a column for each group of data sets and for
// each data set; and by length of the context.
#pragma once

#include "hici/eval/longbench_scores.h"

#include <string>
#include <vector>

namespace hici::report {

struct LongBenchTable {
  struct Row {
    std::vector<std::string> names;  // as many as there are name columns
    std::vector<double> scores;      // 0 to 100; NaN: no score
  };
  std::vector<std::string> name_columns;
  std::vector<std::string> score_columns;
  std::vector<Row> rows;
};

// A group's score is the mean over those of its data sets that were scored; "tasks" is the mean over all of these, and
// "groups" the mean of the groups, which is LongBench's overall score. All are NaN where nothing was scored.
// One row for each model: groups, then both means.
LongBenchTable longbench_groups(const std::vector<eval::LongBenchModelScores>& models);
// One row for each data set, one column for each model.
LongBenchTable longbench_datasets(const std::vector<eval::LongBenchModelScores>& models);
// One row for each model and data set, then for each group and for both means; one column for each bucket of lengths.
LongBenchTable longbench_by_length(const std::vector<eval::LongBenchModelScores>& models);

// For a terminal, with a line end on every line; two decimals.
std::string table_text(const LongBenchTable& table);
// Every digit, for other programs; no digits where there is no score.
std::string table_csv(const LongBenchTable& table);
// A tabular with the rules of the booktabs package.
std::string table_latex(const LongBenchTable& table);

}  // namespace hici::report
