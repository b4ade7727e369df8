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

std::string joined(const std::vector<std::string>& cells, const char* separator) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) line += (i == 0 ? "" : separator) + cells[i];
  return line;
}

bool is_number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool is_formula(const std::string& text) {
  if (text.empty()) return false;
  return text[0] == '-' ? !is_number(text) : std::string_view("=+@\t\r").find(text[0]) != std::string_view::npos;
}

const char* latex_of(char c) {
  switch (c) {
    case '\\':
      return "\\textbackslash{}";
    case '^':
      return "\\^{}";
    case '~':
      return "\\~{}";
    case '<':  // these three are other signs in TeX's oldest fonts
      return "\\textless{}";
    case '>':
      return "\\textgreater{}";
    case '|':
      return "\\textbar{}";
    default:
      return nullptr;
  }
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
  const std::string shown = is_formula(text) ? "'" + text : text;
  if (shown.find_first_of(",\"\n\r") == std::string::npos) return shown;
  std::string quoted = "\"";
  for (const char c : shown) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv_line(const std::vector<std::string>& fields) { return joined(fields, ",") + "\n"; }

std::string latex_escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (const char* words = latex_of(c)) {
      out += words;
      continue;
    }
    if (std::string_view("{}$&#_%").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// A [ or * at the beginning would belong to the \\ or \midrule before it.
std::string latex_row(const std::vector<std::string>& cells) {
  const bool is_taken = !cells.empty() && (cells[0].starts_with('[') || cells[0].starts_with('*'));
  return (is_taken ? "{}" : "") + joined(cells, " & ") + " \\\\\n";
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
