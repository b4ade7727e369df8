// SPDX-License-Identifier: Apache-2.0
#include "hici/report/longbench_table.h"

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

void add_bucket_rows(const LongBenchModelScores& model, Table& table) {
  constexpr size_t kNumBuckets = eval::kLongBenchBuckets.size();
  for (const LongBenchTaskScore& score : model.tasks) {
    Table::Row row{.names = {model.model, std::string(score.task->name)}, .values = {}};
    for (const LongBenchScore& bucket : score.buckets) row.values.push_back(bucket.score);
    table.rows.push_back(std::move(row));
  }
  std::vector<std::vector<double>> means;
  for (size_t b = 0; b < kNumBuckets; ++b)
    means.push_back(group_means(model, [b](const auto& score) -> const auto& { return score.buckets[b]; }));
  const std::vector<std::string> names = group_columns();
  for (size_t i = 0; i < names.size(); ++i) {
    Table::Row row{.names = {model.model, names[i]}, .values = {}};
    for (size_t b = 0; b < kNumBuckets; ++b) row.values.push_back(means[b][i]);
    table.rows.push_back(std::move(row));
  }
}

}  // namespace

Table longbench_groups(const std::vector<LongBenchModelScores>& models) {
  Table table{.name = "longbench",
              .caption = "LongBench scores by group of data sets",
              .name_columns = {"model"},
              .value_columns = group_columns(),
              .best = Best::kHighestOfColumn};
  for (const LongBenchModelScores& model : models)
    table.rows.push_back({.names = {model.model}, .values = group_means(model, all_rows)});
  return table;
}

Table longbench_datasets(const std::vector<LongBenchModelScores>& models) {
  Table table{.name = "longbench-datasets",
              .caption = "LongBench scores by data set",
              .name_columns = {"data set", "group", "metric"},
              .best = Best::kHighestOfRow};
  for (const LongBenchModelScores& model : models) table.value_columns.push_back(model.model);
  for (const eval::LongBenchTask& task : eval::longbench_tasks()) {
    std::vector<double> scores;
    for (const LongBenchModelScores& model : models) {
      const LongBenchTaskScore* found = model.find(task);
      scores.push_back(found ? found->all.score : kNotANumber);
    }
    if (std::none_of(scores.begin(), scores.end(), [](double score) { return std::isfinite(score); })) continue;
    table.rows.push_back({.names = {std::string(task.name), std::string(eval::name_of(task.group)),
                                    std::string(eval::name_of(task.metric))},
                          .values = std::move(scores)});
  }
  return table;
}

Table longbench_by_length(const std::vector<LongBenchModelScores>& models) {
  Table table{.name = "longbench-e",
              .caption = "LongBench-E scores by length of the context in words",
              .name_columns = {"model", "data set"},
              .value_columns = {eval::kLongBenchBuckets.begin(), eval::kLongBenchBuckets.end()}};
  for (const LongBenchModelScores& model : models) add_bucket_rows(model, table);
  return table;
}

}  // namespace hici::report
