// SPDX-License-Identifier: Apache-2.0
// Perplexities in the form that papers print: one row for each model and attention, one column for each context.
#pragma once

#include "hici/report/report_data.h"

#include <cstdint>
#include <string>
#include <vector>

namespace hici::report {

struct PerplexityTable {
  struct Row {
    std::string label;
    std::string attention;
    std::vector<double> perplexity;  // for each context; NaN where there is no result
  };
  std::vector<int64_t> contexts;  // rising
  std::vector<Row> rows;          // in the order in which they were found

  // The lowest perplexity of its column, when there is more than one row.
  bool is_best(size_t row, size_t column) const;
};

PerplexityTable make_perplexity_table(const std::vector<PerplexityResult>& results);

// Two decimals as in papers (fewer for large values), "-" where there is no result.
std::string shown_perplexity(double value);

// For a terminal, with a line end on every line.
std::string table_text(const PerplexityTable& table);
// Every digit, for other programs.
std::string table_csv(const PerplexityTable& table);
// A tabular with the rules of the booktabs package.
std::string table_latex(const PerplexityTable& table);

}  // namespace hici::report
