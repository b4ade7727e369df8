// SPDX-License-Identifier: Apache-2.0
#include "hici/report/perplexity_table.h"

#include "hici/base/text_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <set>
#include <sstream>

namespace hici::report {
namespace {

PerplexityTable::Row& row_of(PerplexityTable& table, const PerplexityResult& result) {
  for (PerplexityTable::Row& row : table.rows) {
    if (row.label == result.label && row.attention == result.attention) return row;
  }
  table.rows.push_back({.label = result.label,
                        .attention = result.attention,
                        .perplexity = std::vector<double>(table.contexts.size(), kNotANumber)});
  return table.rows.back();
}

// Cells as text, the heading first; all columns but the first two are numbers.
std::vector<std::vector<std::string>> cells_of(const PerplexityTable& table) {
  std::vector<std::vector<std::string>> cells = {{"model", "attention"}};
  for (const int64_t context : table.contexts) cells[0].push_back(std::to_string(context));
  for (const PerplexityTable::Row& row : table.rows) {
    cells.push_back({row.label, row.attention});
    for (const double value : row.perplexity) cells.back().push_back(shown_perplexity(value));
  }
  return cells;
}

}  // namespace

bool PerplexityTable::is_best(size_t row, size_t column) const {
  if (rows.size() < 2 || !std::isfinite(rows[row].perplexity[column])) return false;
  return std::all_of(rows.begin(), rows.end(), [&](const Row& other) {
    return !(other.perplexity[column] < rows[row].perplexity[column]);  // NaN is not below anything
  });
}

PerplexityTable make_perplexity_table(const std::vector<PerplexityResult>& results) {
  std::set<int64_t> contexts;
  for (const PerplexityResult& result : results) contexts.insert(result.context);
  PerplexityTable table{.contexts = {contexts.begin(), contexts.end()}, .rows = {}};
  for (const PerplexityResult& result : results) {
    const auto column = std::distance(contexts.begin(), contexts.find(result.context));
    row_of(table, result).perplexity[static_cast<size_t>(column)] = result.perplexity;
  }
  return table;
}

std::string shown_perplexity(double value) {
  if (!std::isfinite(value)) return "-";
  std::array<char, 40> text{};
  const int decimals = value < 1000 ? 2 : value < 10'000 ? 1 : 0;
  std::snprintf(text.data(), text.size(), value < 1e7 ? "%.*f" : "%.*e", decimals, value);
  return text.data();
}

std::string table_text(const PerplexityTable& table) { return aligned_text(cells_of(table), 2); }

std::string table_csv(const PerplexityTable& table) {
  std::ostringstream out;
  out << "model,attention";
  for (const int64_t context : table.contexts) out << ',' << context;
  out << '\n';
  for (const PerplexityTable::Row& row : table.rows) {
    out << csv_field(row.label) << ',' << csv_field(row.attention);
    for (const double value : row.perplexity) out << ',' << every_digit(value);
    out << '\n';
  }
  return out.str();
}

std::string table_latex(const PerplexityTable& table) {
  const std::string columns(table.contexts.size(), 'r');
  std::string text =
      "% needs \\usepackage{booktabs}\n\\begin{tabular}{ll" + columns + "}\n\\toprule\nModel & Attention";
  for (const int64_t context : table.contexts) text += " & " + std::to_string(context);
  text += " \\\\\n\\midrule\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const PerplexityTable::Row& row = table.rows[r];
    text += latex_escape(row.label) + " & " + latex_escape(row.attention);
    for (size_t c = 0; c < row.perplexity.size(); ++c) {
      const std::string shown = std::isfinite(row.perplexity[c]) ? shown_perplexity(row.perplexity[c]) : "--";
      text += " & " + (table.is_best(r, c) ? "\\textbf{" + shown + "}" : shown);
    }
    text += " \\\\\n";
  }
  return text + "\\bottomrule\n\\end{tabular}\n";
}

}  // namespace hici::report
