// SPDX-License-Identifier: Apache-2.0
#include "hici/base/human.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <span>

namespace hici {
namespace {

template <typename... Values>
std::string printed(const char* format, Values... values) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

// Three digits with the unit in which the value is below 999.5; whole numbers in the first unit.
std::string scaled(double value, double base, std::span<const char* const> units) {
  size_t unit = 0;
  while (unit + 1 < units.size() && std::abs(value) >= 999.5) {
    value /= base;
    ++unit;
  }
  const double size = std::abs(value);
  const int decimals = unit == 0 || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return printed("%.*f%s", decimals, value, units[unit]);
}

}  // namespace

std::string human_count(double value) {
  static constexpr std::array<const char*, 5> kUnits = {"", "k", "M", "G", "T"};
  return scaled(value, 1000, kUnits);
}

std::string human_bytes(int64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {" B", " KiB", " MiB", " GiB", " TiB"};
  return scaled(static_cast<double>(bytes), 1024, kUnits);
}

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "?";
  const auto whole = static_cast<int>(std::lround(seconds));
  if (whole < 60) return printed("%ds", whole);
  if (whole < 3600) return printed("%dm%02ds", whole / 60, whole % 60);
  if (whole < 86400) return printed("%dh%02dm", whole / 3600, whole / 60 % 60);
  return printed("%dd%02dh", whole / 86400, whole / 3600 % 24);
}

std::string short_duration(double seconds) {
  if (!(seconds >= 0 && seconds < 59.995)) return human_duration(seconds);
  return printed("%.2f s", seconds);
}

std::string counted(int64_t count, std::string_view noun) {
  std::string text = std::to_string(count) + " ";
  text += noun;
  return count == 1 ? text : text + "s";
}

std::string shortest_number(double value) {
  const double size = std::abs(value);
  const bool is_plain = size == 0 || (size >= 1e-4 && size < 1e16);
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                 is_plain ? std::chars_format::fixed : std::chars_format::scientific);
  return {text.data(), end.ptr};
}

std::string shell_word(std::string_view text) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:,=+@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) return std::string(text);
  std::string quoted = "'";
  for (const char c : text) c == '\'' ? quoted += "'\\''" : quoted += c;
  return quoted + "'";
}

}  // namespace hici
