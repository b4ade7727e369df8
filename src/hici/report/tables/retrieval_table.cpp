// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/retrieval_table.h"

#include <string>

namespace hici::report {
namespace {

using eval::RetrievalTask;

TableEntry entry_of(const RetrievalResult& result) {
  const bool is_scored = result.num_answers > 0;
  TableEntry entry{.names = {result.label}, .column = result.num_items};
  if (!result.judge.empty()) entry.names.push_back(result.judge);
  if (is_scored) {
    entry.value = static_cast<double>(result.num_correct) / static_cast<double>(result.num_answers);
    entry.detail = std::to_string(result.num_correct) + "/" + std::to_string(result.num_answers);
  }
  return entry;
}

// What identifies the test cases; nothing where that is not stated.
std::string cases_of(const RetrievalResult& result) {
  const auto found = result.conditions.asked.find(std::to_string(result.num_items));
  return found == result.conditions.asked.end() ? "" : short_hash(found->second);
}

}  // namespace

Table retrieval_table(const std::vector<RetrievalResult>& results, RetrievalTask task, ScoredBy scored_by) {
  const bool is_judged = scored_by == ScoredBy::kJudge;
  Table table{.name = std::string(name_of(task)) + (is_judged ? "-judged" : ""),
              .caption = std::string("LongEval's ") + name_of(task) + ": share of right answers by number of " +
                         name_of(task) + (is_judged ? ", as a model judged them" : ", scored by rule"),
              .name_columns = {"model"},
              .best = Best::kHighestOfColumn};
  if (is_judged) table.name_columns.emplace_back("judge");
  std::vector<TableEntry> entries;
  for (const RetrievalResult& result : results) {
    if (result.task == task && result.judge.empty() != is_judged) entries.push_back(entry_of(result));
  }
  add_entries(table, entries);
  return table;
}

Table retrieval_counts(const std::vector<RetrievalResult>& results) {
  Table table{.name = "retrieval-counts",
              .caption = "Right answers to LongEval's retrieval",
              .name_columns = {"task", "model", "scored by", "number", "cases"},
              .value_columns = {"correct", "answers"},
              .show = whole_number,
              .is_for_files = true};
  for (const RetrievalResult& result : results) {
    table.rows.push_back(
        {.names = {name_of(result.task), result.label, result.judge.empty() ? "rule" : result.judge,
                   std::to_string(result.num_items), cases_of(result)},
         .values = {static_cast<double>(result.num_correct), static_cast<double>(result.num_answers)}});
  }
  return table;
}

}  // namespace hici::report
