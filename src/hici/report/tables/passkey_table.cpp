// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/passkey_table.h"

#include "hici/report/figures.h"
#include "hici/report/svg/passkey_map.h"

#include <algorithm>

namespace hici::report {
namespace {

std::string counts_of(const eval::PasskeyLength& length) {
  const auto correct = std::count_if(length.tests.begin(), length.tests.end(),
                                     [](const eval::PasskeyTest& test) { return test.is_correct; });
  return std::to_string(correct) + "/" + std::to_string(length.tests.size());
}

}  // namespace

Table passkey_table(const std::vector<PasskeyResult>& results) {
  Table table{.name = "passkey",
              .caption = "Share of passkeys found, by length of the prompt in tokens",
              .name_columns = {"model", "attention"},
              .best = Best::kHighestOfColumn};
  std::vector<TableEntry> entries;
  for (const PasskeyResult& result : results)
    entries.push_back({.names = {result.label, result.attention},
                       .column = result.length.target,
                       .value = result.length.accuracy(),
                       .detail = counts_of(result.length)});
  add_entries(table, entries);
  return table;
}

Table passkey_depth_table(const std::vector<PasskeyResult>& results) {
  Table table{.name = "passkey-depth",
              .caption = "Share of passkeys found, by depth in the prompt and length of the prompt in tokens",
              .name_columns = {"model", "attention", "depth"},
              .is_for_files = true};
  std::vector<TableEntry> entries;
  for (const PasskeyResult& result : results) {
    const auto accuracies = result.length.accuracy_by_depth();
    for (size_t depth = 0; depth < accuracies.size(); ++depth)
      entries.push_back({.names = {result.label, result.attention, depth_name(depth)},
                         .column = result.length.target,
                         .value = accuracies[depth]});
  }
  add_entries(table, entries);
  return table;
}

std::vector<PasskeyModel> passkey_models(const std::vector<PasskeyResult>& results) {
  const Table table = passkey_table(results);
  const std::vector<std::string> names = row_names(table);
  std::vector<PasskeyModel> models;
  for (size_t i = 0; i < names.size(); ++i) {
    PasskeyModel model{.name = names[i], .lengths = {}};
    for (const PasskeyResult& result : results) {
      if (table.rows[i].names == std::vector{result.label, result.attention}) model.lengths.push_back(result.length);
    }
    std::sort(model.lengths.begin(), model.lengths.end(),
              [](const auto& a, const auto& b) { return a.target < b.target; });
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace hici::report
