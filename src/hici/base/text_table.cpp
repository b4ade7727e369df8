// SPDX-License-Identifier: Apache-2.0
#include "hici/base/text_table.h"

#include "hici/base/error.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <system_error>

namespace hici {
namespace {

size_t num_characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string padding(size_t width, std::string_view text) {
  const size_t size = num_characters(text);
  return std::string(width > size ? width - size : 0, ' ');
}

}  // namespace

std::string aligned_text(const std::vector<std::vector<std::string>>& cells, size_t num_text_columns) {
  std::vector<size_t> widths(cells.at(0).size(), 0);
  for (const auto& row : cells) {
    HICI_ASSERT(row.size() == widths.size(), row.size(), " cells under ", widths.size(), " headings");
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], num_characters(row[i]));
  }
  std::string text;
  for (size_t r = 0; r < cells.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < cells[r].size(); ++i) {
      const std::string& cell = cells[r][i];
      line += i == 0 ? "" : "  ";
      line += i < num_text_columns ? cell + padding(widths[i], cell) : padding(widths[i], cell) + cell;
    }
    text += line + "\n";
    if (r == 0) text += std::string(num_characters(line), '-') + "\n";
  }
  return text;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string latex_escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\textbackslash{}";
    } else if (c == '^' || c == '~') {
      out += std::string("\\") + c + "{}";
    } else {
      if (std::string_view("{}$&#_%").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

std::string every_digit(double value) {
  std::array<char, 40> text{};
  if (!std::isfinite(value)) return "";
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  HICI_ASSERT(error == std::errc(), "no room for the digits of a number");
  return {text.data(), end};
}

std::string fixed_digits(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

}  // namespace hici
