// SPDX-License-Identifier: Apache-2.0
#include "hici/report/report_tables.h"

#include "hici/report/attention_table.h"
#include "hici/report/longbench_table.h"
#include "hici/report/passkey_table.h"
#include "hici/report/perplexity_table.h"
#include "hici/report/retrieval_table.h"

#include <utility>

namespace hici::report {
namespace {

using eval::RetrievalTask;

void add_if_any(std::vector<Table>& tables, Table table) {
  if (!table.rows.empty()) tables.push_back(std::move(table));
}

// Those of LongBench, or those of LongBench-E.
std::vector<eval::LongBenchModelScores> longbench_models(const ReportData& data, bool by_length) {
  std::vector<eval::LongBenchModelScores> models;
  for (const LongBenchResult& result : data.longbench) {
    if (result.by_length == by_length) models.push_back(result.scores);
  }
  return models;
}

}  // namespace

std::vector<Table> retrieval_tables(const ReportData& data) {
  std::vector<Table> tables;
  for (const RetrievalTask task : {RetrievalTask::kTopics, RetrievalTask::kLines}) {
    for (const ScoredBy scored_by : {ScoredBy::kRule, ScoredBy::kJudge})
      add_if_any(tables, retrieval_table(data.retrievals, task, scored_by));
  }
  return tables;
}

std::vector<Table> longbench_tables(const ReportData& data) {
  std::vector<Table> tables;
  add_if_any(tables, longbench_groups(longbench_models(data, false)));
  add_if_any(tables, longbench_datasets(longbench_models(data, false)));
  add_if_any(tables, longbench_by_length(longbench_models(data, true)));
  return tables;
}

std::vector<Table> report_tables(const ReportData& data) {
  std::vector<Table> tables;
  add_if_any(tables, perplexity_table(data.perplexities));
  add_if_any(tables, passkey_table(data.passkeys));
  add_if_any(tables, passkey_depth_table(data.passkeys));
  for (Table& table : retrieval_tables(data)) tables.push_back(std::move(table));
  add_if_any(tables, retrieval_counts(data.retrievals));
  for (Table& table : longbench_tables(data)) tables.push_back(std::move(table));
  add_if_any(tables, attention_table(data.attentions));
  add_if_any(tables, attention_layer_table(data.attentions));
  return tables;
}

}  // namespace hici::report
