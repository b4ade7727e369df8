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

// Quoted where a comma, a quote or a line end asks for it.
std::string csv_field(const std::string& text);
std::string latex_escape(const std::string& text);

// The shortest text that reads back as the same number; empty when it is not finite.
std::string every_digit(double value);

// Rounded to so many places after the point.
std::string fixed_digits(double value, int decimals);

}  // namespace hici
