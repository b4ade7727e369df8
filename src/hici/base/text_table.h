// SPDX-License-Identifier: Apache-2.0
// Cells of a table as text for a terminal, and the fields of CSV and LaTeX tables.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace hici {

// One line for each row, columns aligned: the first `num_text_columns` to the left, the others, numbers, to the right.
// The first row is the heading and gets a rule under it. Every row has the heading's number of cells. A width is the
// number of UTF-8 characters.
std::string aligned_text(const std::vector<std::vector<std::string>>& cells, size_t num_text_columns);

// A cell of text, quoted where a comma, a quote or a line end asks for it. One that a spreadsheet would take for a
// formula (it begins with = + @ or a tab, or with - and is no number) gets an apostrophe in front, which spreadsheets
// take for "this is text".
std::string csv_field(const std::string& text);
// A whole line from fields that are ready.
std::string csv_line(const std::vector<std::string>& fields);
std::string latex_escape(const std::string& text);
// A row of a tabular from cells that are ready, with its end.
std::string latex_row(const std::vector<std::string>& cells);

// The shortest text that reads back as the same number; empty when it is not finite.
std::string every_digit(double value);

// Rounded to so many places after the point.
std::string fixed_digits(double value, int decimals);

}  // namespace hici
