// SPDX-License-Identifier: Apache-2.0
#include "hici/report/longbench_table.h"

#include "hici/base/text_table.h"
#include "hici/report/report_data.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace hici::report {
namespace {

using eval::LongBenchGroup;
using eval::LongBenchModelScores;
using eval::LongBenchScore;
using eval::LongBenchTaskScore;
using Choose = std::function<const LongBenchScore&(const LongBenchTaskScore&)>;

const LongBenchScore& all_rows(const LongBenchTaskScore& score) { return score.all; }

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : kNotANumber;
}

// The six groups, then the mean over the tasks and the mean over the groups.
std::vector<double> group_means(const LongBenchModelScores& model, const Choose& choose) {
  std::vector<double> means;
  std::vector<double> tasks;
  for (size_t g = 0; g < eval::kNumLongBenchGroups; ++g) {
    std::vector<double> group;
    for (const LongBenchTaskScore& score : model.tasks) {
      if (score.task->group == static_cast<LongBenchGroup>(g)) group.push_back(choose(score).score);
    }
    means.push_back(mean_of(group));
    tasks.insert(tasks.end(), group.begin(), group.end());
  }
  const double mean_of_groups = mean_of(means);
  means.push_back(mean_of(tasks));
  means.push_back(mean_of_groups);
  return means;
}

std::vector<std::string> group_columns() {
  std::vector<std::string> names;
  for (size_t g = 0; g < eval::kNumLongBenchGroups; ++g)
    names.emplace_back(eval::name_of(static_cast<LongBenchGroup>(g)));
  names.emplace_back("mean of tasks");
  names.emplace_back("mean of groups");
  return names;
}

void add_bucket_rows(const LongBenchModelScores& model, LongBenchTable& table) {
  constexpr size_t kNumBuckets = eval::kLongBenchBuckets.size();
  for (const LongBenchTaskScore& score : model.tasks) {
    LongBenchTable::Row row{.names = {model.model, std::string(score.task->name)}, .scores = {}};
    for (const LongBenchScore& bucket : score.buckets) row.scores.push_back(bucket.score);
    table.rows.push_back(std::move(row));
  }
  std::vector<std::vector<double>> means;
  for (size_t b = 0; b < kNumBuckets; ++b)
    means.push_back(group_means(model, [b](const auto& score) -> const auto& { return score.buckets[b]; }));
  const std::vector<std::string> names = group_columns();
  for (size_t i = 0; i < names.size(); ++i) {
    LongBenchTable::Row row{.names = {model.model, names[i]}, .scores = {}};
    for (size_t b = 0; b < kNumBuckets; ++b) row.scores.push_back(means[b][i]);
    table.rows.push_back(std::move(row));
  }
}

std::string shown(double score, const char* absent) { return std::isfinite(score) ? fixed_digits(score, 2) : absent; }

}  // namespace

LongBenchTable longbench_groups(const std::vector<LongBenchModelScores>& models) {
  LongBenchTable table{.name_columns = {"model"}, .score_columns = group_columns(), .rows = {}};
  for (const LongBenchModelScores& model : models)
    table.rows.push_back({.names = {model.model}, .scores = group_means(model, all_rows)});
  return table;
}

LongBenchTable longbench_datasets(const std::vector<LongBenchModelScores>& models) {
  LongBenchTable table{.name_columns = {"data set", "group", "metric"}, .score_columns = {}, .rows = {}};
  for (const LongBenchModelScores& model : models) table.score_columns.push_back(model.model);
  for (const eval::LongBenchTask& task : eval::longbench_tasks()) {
    std::vector<double> scores;
    for (const LongBenchModelScores& model : models) {
      const LongBenchTaskScore* found = model.find(task);
      scores.push_back(found ? found->all.score : kNotANumber);
    }
    if (std::none_of(scores.begin(), scores.end(), [](double score) { return std::isfinite(score); })) continue;
    table.rows.push_back({.names = {std::string(task.name), std::string(eval::name_of(task.group)),
                                    std::string(eval::name_of(task.metric))},
                          .scores = std::move(scores)});
  }
  return table;
}

LongBenchTable longbench_by_length(const std::vector<LongBenchModelScores>& models) {
  LongBenchTable table{.name_columns = {"model", "data set"},
                       .score_columns = {eval::kLongBenchBuckets.begin(), eval::kLongBenchBuckets.end()},
                       .rows = {}};
  for (const LongBenchModelScores& model : models) add_bucket_rows(model, table);
  return table;
}

std::string table_text(const LongBenchTable& table) {
  std::vector<std::vector<std::string>> cells = {table.name_columns};
  cells[0].insert(cells[0].end(), table.score_columns.begin(), table.score_columns.end());
  for (const LongBenchTable::Row& row : table.rows) {
    cells.push_back(row.names);
    for (const double score : row.scores) cells.back().push_back(shown(score, "-"));
  }
  return aligned_text(cells, table.name_columns.size());
}

std::string table_csv(const LongBenchTable& table) {
  std::string text;
  const auto add = [&](const std::string& field, bool is_first) { text += (is_first ? "" : ",") + field; };
  for (size_t i = 0; i < table.name_columns.size(); ++i) add(csv_field(table.name_columns[i]), i == 0);
  for (const std::string& column : table.score_columns) add(csv_field(column), false);
  for (const LongBenchTable::Row& row : table.rows) {
    text += '\n';
    for (size_t i = 0; i < row.names.size(); ++i) add(csv_field(row.names[i]), i == 0);
    for (const double score : row.scores) add(every_digit(score), false);
  }
  return text + "\n";
}

std::string table_latex(const LongBenchTable& table) {
  std::string text = "% needs \\usepackage{booktabs}\n\\begin{tabular}{" + std::string(table.name_columns.size(), 'l') +
                     std::string(table.score_columns.size(), 'r') + "}\n\\toprule\n";
  for (size_t i = 0; i < table.name_columns.size(); ++i)
    text += (i == 0 ? "" : " & ") + latex_escape(table.name_columns[i]);
  for (const std::string& column : table.score_columns) text += " & " + latex_escape(column);
  text += " \\\\\n\\midrule\n";
  for (const LongBenchTable::Row& row : table.rows) {
    for (size_t i = 0; i < row.names.size(); ++i) text += (i == 0 ? "" : " & ") + latex_escape(row.names[i]);
    for (const double score : row.scores) text += " & " + shown(score, "--");
    text += " \\\\\n";
  }
  return text + "\\bottomrule\n\\end{tabular}\n";
}

}  // namespace hici::report
