// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/report_tables.h"

#include "hici/report/tables/attention_table.h"
#include "hici/report/tables/longbench_table.h"
#include "hici/report/tables/passkey_table.h"
#include "hici/report/tables/perplexity_table.h"
#include "hici/report/tables/retrieval_table.h"

#include <iterator>
#include <set>
#include <utility>

namespace hici::report {
namespace {

using eval::RetrievalTask;
using Tables = std::vector<Table>;

void add(Tables& tables, Tables more) {
  tables.insert(tables.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// One table for each comparison of the results.
template <typename Result, typename MakeTable>
void add_each(Tables& tables, const std::vector<Result>& results, const MakeTable& make_table) {
  for (const Comparison<Result>& comparison : comparisons_of(results)) {
    Table table = with_conditions(make_table(comparison.results), comparison);
    if (!table.rows.empty()) tables.push_back(std::move(table));
  }
}

// Means are compared where they are over the same data sets.
template <typename MakeTable>
void add_means(Tables& tables, const std::vector<LongBenchResult>& results, const MakeTable& make_table) {
  for (const Comparison<LongBenchResult>& comparison : comparisons_of(results)) {
    for (const auto& models : same_tasks(comparison.results))
      tables.push_back(with_conditions(make_table(models), comparison));
  }
}

void name_apart(Tables& tables) {
  std::set<std::string> names;
  for (Table& table : tables) {
    const std::string name = table.name;
    for (int number = 2; !names.insert(table.name).second; ++number) table.name = name + "-" + std::to_string(number);
  }
}

}  // namespace

Tables retrieval_tables(const ReportData& data) {
  Tables tables;
  for (const RetrievalTask task : {RetrievalTask::kTopics, RetrievalTask::kLines}) {
    for (const ScoredBy scored_by : {ScoredBy::kRule, ScoredBy::kJudge}) {
      std::vector<RetrievalResult> results;
      for (const RetrievalResult& result : data.retrievals) {
        if (result.task == task && result.judge.empty() == (scored_by == ScoredBy::kRule)) results.push_back(result);
      }
      add_each(tables, results, [&](const auto& some) { return retrieval_table(some, task, scored_by); });
    }
  }
  name_apart(tables);
  return tables;
}

Tables longbench_tables(const std::vector<LongBenchResult>& results) {
  std::vector<LongBenchResult> plain, by_length;
  for (const LongBenchResult& result : results) (result.by_length ? by_length : plain).push_back(result);
  Tables tables;
  add_means(tables, plain, longbench_groups);
  add_each(tables, plain, longbench_datasets);
  add_means(tables, by_length, longbench_by_length);
  name_apart(tables);
  return tables;
}

Tables report_tables(const ReportData& data) {
  Tables tables;
  add_each(tables, data.perplexities, perplexity_table);
  add_each(tables, data.passkeys, passkey_table);
  add_each(tables, data.passkeys, passkey_depth_table);
  add(tables, retrieval_tables(data));
  if (!data.retrievals.empty()) tables.push_back(retrieval_counts(data.retrievals));
  add(tables, longbench_tables(data.longbench));
  add_each(tables, data.attentions, attention_table);
  add_each(tables, data.attentions, attention_layer_table);
  name_apart(tables);
  return tables;
}

}  // namespace hici::report
