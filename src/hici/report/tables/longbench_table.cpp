// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/longbench_table.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace hici::report {
namespace {

using eval::LongBenchGroup;
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
std::vector<double> group_means(const LongBenchResult& model, const Choose& choose) {
  std::vector<double> means;
  std::vector<double> tasks;
  for (size_t g = 0; g < eval::kNumLongBenchGroups; ++g) {
    std::vector<double> group;
    for (const LongBenchTaskScore& score : model.scores.tasks) {
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
  for (size_t g = 0; g < eval::kNumLongBenchGroups; ++g) names.emplace_back(name_of(static_cast<LongBenchGroup>(g)));
  names.emplace_back("mean of tasks");
  names.emplace_back("mean of groups");
  return names;
}

bool is_scored(const LongBenchTaskScore& score) {
  return std::isfinite(score.all.score) ||
         std::any_of(score.buckets.begin(), score.buckets.end(), [](const auto& b) { return std::isfinite(b.score); });
}

std::vector<std::string> scored_tasks(const LongBenchResult& model) {
  std::vector<std::string> names;
  for (const LongBenchTaskScore& score : model.scores.tasks) {
    if (is_scored(score)) names.emplace_back(score.task->name);
  }
  return names;
}

// Which data sets means are over, where these are not all: those that are there or, where they are many, those that are
// not.
std::string tasks_in_words(const LongBenchResult& model) {
  const std::vector<std::string> scored = scored_tasks(model);
  const size_t num_missing = eval::longbench_tasks().size() - scored.size();
  if (model.by_length || num_missing == 0) return "";
  const bool names_missing = num_missing < scored.size();
  std::string names;
  for (const eval::LongBenchTask& task : eval::longbench_tasks()) {
    const bool is_there = std::find(scored.begin(), scored.end(), task.name) != scored.end();
    if (is_there != names_missing) names += (names.empty() ? "" : ", ") + std::string(task.name);
  }
  return (names_missing ? " without " : " (") + names + (names_missing ? "" : ")");
}

void add_bucket_rows(const LongBenchResult& model, Table& table) {
  constexpr size_t kNumBuckets = eval::kLongBenchBuckets.size();
  for (const LongBenchTaskScore& score : model.scores.tasks) {
    Table::Row row{.names = {model.label, std::string(score.task->name)}, .values = {}};
    for (const LongBenchScore& bucket : score.buckets) row.values.push_back(bucket.score);
    table.rows.push_back(std::move(row));
  }
  std::vector<std::vector<double>> means;
  for (size_t b = 0; b < kNumBuckets; ++b)
    means.push_back(group_means(model, [b](const auto& score) -> const auto& { return score.buckets[b]; }));
  const std::vector<std::string> names = group_columns();
  for (size_t i = 0; i < names.size(); ++i) {
    Table::Row row{.names = {model.label, names[i]}, .values = {}};
    for (size_t b = 0; b < kNumBuckets; ++b) row.values.push_back(means[b][i]);
    table.rows.push_back(std::move(row));
  }
}

}  // namespace

Table longbench_groups(const std::vector<LongBenchResult>& models) {
  Table table{.name = "longbench",
              .caption = "LongBench scores by group of data sets" +
                         (models.empty() ? std::string() : tasks_in_words(models.front())),
              .name_columns = {"model"},
              .value_columns = group_columns(),
              .best = Best::kHighestOfColumn};
  for (const LongBenchResult& model : models)
    table.rows.push_back({.names = {model.label}, .values = group_means(model, all_rows)});
  return table;
}

Table longbench_datasets(const std::vector<LongBenchResult>& models) {
  Table table{.name = "longbench-datasets",
              .caption = "LongBench scores by data set",
              .name_columns = {"data set", "group", "metric"},
              .best = Best::kHighestOfRow};
  for (const LongBenchResult& model : models) table.value_columns.push_back(model.label);
  for (const eval::LongBenchTask& task : eval::longbench_tasks()) {
    std::vector<double> scores;
    for (const LongBenchResult& model : models) {
      const LongBenchTaskScore* found = model.scores.find(task);
      scores.push_back(found ? found->all.score : kNotANumber);
    }
    if (std::none_of(scores.begin(), scores.end(), [](double score) { return std::isfinite(score); })) continue;
    table.rows.push_back(
        {.names = {std::string(task.name), std::string(name_of(task.group)), std::string(name_of(task.metric))},
         .values = std::move(scores)});
  }
  return table;
}

Table longbench_by_length(const std::vector<LongBenchResult>& models) {
  Table table{.name = "longbench-e",
              .caption = "LongBench-E scores by length of the context in words",
              .name_columns = {"model", "data set"},
              .value_columns = {eval::kLongBenchBuckets.begin(), eval::kLongBenchBuckets.end()}};
  for (const LongBenchResult& model : models) add_bucket_rows(model, table);
  return table;
}

std::vector<std::vector<LongBenchResult>> same_tasks(const std::vector<LongBenchResult>& models) {
  std::vector<std::vector<LongBenchResult>> lists;
  for (const LongBenchResult& model : models) {
    const auto fits = [&](const auto& list) { return scored_tasks(list.front()) == scored_tasks(model); };
    const auto found = std::find_if(lists.begin(), lists.end(), fits);
    if (found == lists.end()) {
      lists.push_back({model});
    } else {
      found->push_back(model);
    }
  }
  return lists;
}

}  // namespace hici::report
