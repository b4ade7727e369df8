// SPDX-License-Identifier: Apache-2.0
// A table of numbers as papers print it, and the same as text, CSV and LaTeX. What is in a table is decided elsewhere
// (perplexity_table.h and so on).
#pragma once

#include "hici/report/report_data.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hici::report {

// Which value is marked as the best of those that it stands among; none where it stands alone.
enum class Best { kNone, kLowestOfColumn, kHighestOfColumn, kHighestOfRow };

// How a number is shown; it is finite.
using ShowNumber = std::string (*)(double value);

std::string two_decimals(double value);
std::string three_decimals(double value);
std::string whole_number(double value);

// A line of every LaTeX table that we write.
constexpr const char* kLatexNeeds = "% needs \\usepackage{booktabs}";

struct Table {
  struct Row {
    std::vector<std::string> names;         // as many as there are name columns
    std::vector<double> values;             // as many as there are value columns; NaN: no value
    std::vector<std::string> details = {};  // empty, or a word on each value for readers ("49/50")
  };
  std::string name = {};        // of its files beside a page: REPORT.name.csv
  std::string caption = {};     // without its full stop
  std::string conditions = {};  // under which all numbers were measured: in the caption, and a column of the CSV
  std::vector<std::string> name_columns = {};
  std::vector<std::string> value_columns = {};
  std::vector<Row> rows = {};
  Best best = Best::kNone;
  ShowNumber show = two_decimals;
  bool is_for_files = false;  // too long to read: neither on the page nor in the terminal

  bool is_best(size_t row, size_t column) const;
  // The caption with the conditions.
  std::string full_caption() const { return caption + conditions; }
  // The value as it is shown, or `absent`.
  std::string shown(size_t row, size_t column, const char* absent) const;
};

// One value and where it stands.
struct TableEntry {
  std::vector<std::string> names;
  int64_t column = 0;
  double value = kNotANumber;
  std::string detail = {};
};

// Adds rows, in the order of their first entries, and one column for each number, rising. Of two entries for one place
// the later one counts.
void add_entries(Table& table, const std::vector<TableEntry>& entries);

// For a terminal, with a line end on every line.
std::string table_text(const Table& table);
// Every digit, for other programs; an empty field where there is no value. Where there are conditions, a column behind
// the names has them.
std::string table_csv(const Table& table);
// A tabular with the rules of the booktabs package; the best values are bold. The caption stands above as a comment.
std::string table_latex(const Table& table);

// The table of one comparison (report/conditions.h): says its conditions, marks no best value where they are not
// stated.
template <typename Comparison>
Table with_conditions(Table table, const Comparison& comparison) {
  table.name += comparison.file_suffix;
  table.conditions = comparison.words;
  if (!comparison.is_stated) table.best = Best::kNone;
  return table;
}

// "attention" to "Attention", as headings begin; other letters than those of ASCII stay.
std::string capitalised(std::string text);

}  // namespace hici::report
