// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/perplexity_table.h"

#include <array>
#include <cstdio>

namespace hici::report {

Table perplexity_table(const std::vector<PerplexityResult>& results) {
  Table table{.name = "perplexity",
              .caption = "Perplexity by evaluation context in tokens",
              .name_columns = {"model", "attention"},
              .best = Best::kLowestOfColumn,
              .show = shown_perplexity};
  std::vector<TableEntry> entries;
  for (const PerplexityResult& result : results)
    entries.push_back(
        {.names = {result.label, result.attention}, .column = result.context, .value = result.perplexity});
  add_entries(table, entries);
  return table;
}

std::string shown_perplexity(double value) {
  std::array<char, 40> text{};
  const int decimals = value < 1000 ? 2 : value < 10'000 ? 1 : 0;
  std::snprintf(text.data(), text.size(), value < 1e7 ? "%.*f" : "%.*e", decimals, value);
  return text.data();
}

}  // namespace hici::report
