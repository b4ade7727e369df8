// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/attention_table.h"

#include <numeric>
#include <string>

namespace hici::report {
namespace {

double mean_share_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

Table empty_table(const char* name, const char* caption) {
  return {.name = name,
          .caption = caption,
          .name_columns = {"model"},
          .value_columns = {"global slots", "local slots", "tokens"},
          .show = three_decimals};
}

}  // namespace

std::vector<double> means_by_layer(const AttentionResult::Shares& shares) {
  std::vector<double> means;
  for (const std::vector<double>& layer : shares) means.push_back(mean_share_of(layer));
  return means;
}

Table attention_table(const std::vector<AttentionResult>& results) {
  Table table = empty_table("attention", "Shares of attention, means over all layers and heads");
  for (const AttentionResult& result : results) {
    Table::Row row{.names = {result.label}, .values = {}};
    for (const AttentionResult::Shares* shares : {&result.global, &result.local, &result.token})
      row.values.push_back(mean_share_of(means_by_layer(*shares)));
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table attention_layer_table(const std::vector<AttentionResult>& results) {
  Table table = empty_table("attention-layers", "Shares of attention by layer, means over heads");
  table.name_columns.emplace_back("layer");
  table.is_for_files = true;
  for (const AttentionResult& result : results) {
    const std::vector<double> global = means_by_layer(result.global);
    const std::vector<double> local = means_by_layer(result.local);
    const std::vector<double> token = means_by_layer(result.token);
    for (size_t layer = 0; layer < global.size(); ++layer)
      table.rows.push_back(
          {.names = {result.label, std::to_string(layer)}, .values = {global[layer], local[layer], token[layer]}});
  }
  return table;
}

}  // namespace hici::report
