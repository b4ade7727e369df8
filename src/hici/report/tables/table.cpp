// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/table.h"

#include "hici/base/text_table.h"

#include <cmath>
#include <map>

namespace hici::report {
namespace {

std::string text_cell(const Table& table, size_t row, size_t column) {
  const std::string shown = table.shown(row, column, "-");
  const std::vector<std::string>& details = table.rows[row].details;
  return details.empty() || details[column].empty() ? shown : shown + " (" + details[column] + ")";
}

// ", pg19.bin" as it stands alone.
std::string without_comma(const std::string& words) { return words.substr(words.find_first_not_of(",; ")); }

Table::Row& row_of(Table& table, const std::vector<std::string>& names) {
  for (Table::Row& row : table.rows) {
    if (row.names == names) return row;
  }
  const size_t count = table.value_columns.size();
  table.rows.push_back(
      {.names = names, .values = std::vector<double>(count, kNotANumber), .details = std::vector<std::string>(count)});
  return table.rows.back();
}

}  // namespace

std::string two_decimals(double value) { return fixed_digits(value, 2); }
std::string three_decimals(double value) { return fixed_digits(value, 3); }
std::string whole_number(double value) { return fixed_digits(value, 0); }

bool Table::is_best(size_t row, size_t column) const {
  const double value = rows[row].values[column];
  if (best == Best::kNone || !std::isfinite(value)) return false;
  const bool is_row = best == Best::kHighestOfRow;
  const size_t count = is_row ? value_columns.size() : rows.size();
  for (size_t i = 0; i < count; ++i) {
    const double other = is_row ? rows[row].values[i] : rows[i].values[column];
    if (best == Best::kLowestOfColumn ? other < value : other > value) return false;  // NaN is neither
  }
  return count > 1;
}

std::string Table::shown(size_t row, size_t column, const char* absent) const {
  const double value = rows[row].values[column];
  return std::isfinite(value) ? show(value) : absent;
}

void add_entries(Table& table, const std::vector<TableEntry>& entries) {
  std::map<int64_t, size_t> columns;
  for (const TableEntry& entry : entries) columns[entry.column] = 0;
  for (auto& [number, place] : columns) {
    place = table.value_columns.size();
    table.value_columns.push_back(std::to_string(number));
  }
  for (const TableEntry& entry : entries) {
    Table::Row& row = row_of(table, entry.names);
    row.values[columns[entry.column]] = entry.value;
    row.details[columns[entry.column]] = entry.detail;
  }
}

std::string table_text(const Table& table) {
  std::vector<std::vector<std::string>> cells = {table.name_columns};
  cells[0].insert(cells[0].end(), table.value_columns.begin(), table.value_columns.end());
  for (size_t r = 0; r < table.rows.size(); ++r) {
    cells.push_back(table.rows[r].names);
    for (size_t c = 0; c < table.value_columns.size(); ++c) cells.back().push_back(text_cell(table, r, c));
  }
  return aligned_text(cells, table.name_columns.size());
}

std::string table_csv(const Table& table) {
  const bool has_conditions = !table.conditions.empty();
  std::vector<std::string> fields;
  for (const std::string& column : table.name_columns) fields.push_back(csv_field(column));
  if (has_conditions) fields.emplace_back("conditions");
  for (const std::string& column : table.value_columns) fields.push_back(csv_field(column));
  std::string text = csv_line(fields);
  for (const Table::Row& row : table.rows) {
    fields.clear();
    for (const std::string& name : row.names) fields.push_back(csv_field(name));
    if (has_conditions) fields.push_back(csv_field(without_comma(table.conditions)));
    for (const double value : row.values) fields.push_back(every_digit(value));
    text += csv_line(fields);
  }
  return text;
}

std::string table_latex(const Table& table) {
  std::vector<std::string> cells;
  for (const std::string& column : table.name_columns) cells.push_back(latex_escape(capitalised(column)));
  for (const std::string& column : table.value_columns) cells.push_back(latex_escape(column));
  std::string text = (table.caption.empty() ? "" : "% " + table.full_caption() + "\n") + kLatexNeeds +
                     std::string("\n\\begin{tabular}{") + std::string(table.name_columns.size(), 'l') +
                     std::string(table.value_columns.size(), 'r') + "}\n\\toprule\n" + latex_row(cells) + "\\midrule\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    cells.clear();
    for (const std::string& name : table.rows[r].names) cells.push_back(latex_escape(name));
    for (size_t c = 0; c < table.value_columns.size(); ++c) {
      const std::string shown = latex_escape(table.shown(r, c, "--"));
      cells.push_back(table.is_best(r, c) ? "\\textbf{" + shown + "}" : shown);
    }
    text += latex_row(cells);
  }
  return text + "\\bottomrule\n\\end{tabular}\n";
}

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

}  // namespace hici::report
