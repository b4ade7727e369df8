// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/option_values.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace hici::commands {
namespace {

// Commands with lists of lengths say of each whether it fits, also of what no memory holds.
constexpr int64_t kMaxListedTokens = int64_t{1} << 46;
constexpr double kMostGibibytes = 1 << 20;  // a number of bytes that was meant for one of GiB is above

std::string shown(const std::string& text) { return "'" + printable(text) + "'"; }

// std::from_chars knows no '+'.
std::string_view without_plus(const std::string& text) {
  const bool has_plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  return std::string_view(text).substr(has_plus ? 1 : 0);
}

bool is_whole(std::string_view text) {
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

// 1000000 rather than 1e+06.
template <typename T>
std::string plain(T value) {
  if constexpr (!std::is_floating_point_v<T>) {
    return std::to_string(value);
  } else {
    std::array<char, 32> text{};
    const auto format = std::abs(value) < 1e15 ? std::chars_format::fixed : std::chars_format::scientific;
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value, format).ptr};
  }
}

// "use 1 or more", "use 0 to 4096"; nothing for whatever T holds.
template <typename T>
std::string way_out(const Range<T>& range) {
  const Range<T> all;
  const bool has_low = range.low != all.low || range.low == T{};
  if (range.high == all.high) return has_low ? "; use " + plain(range.low) + " or more" : "";
  return "; use " + plain(range.low) + " to " + plain(range.high);
}

template <typename T>
void check_range(T value, const std::string& text, const std::string& subject, const Range<T>& range) {
  HICI_CHECK_USAGE(range.has(value), subject, ": ", printable(text), " is out of range", way_out(range));
}

// The number in front of a unit and the unit, in capitals and without spaces.
struct Amount {
  double number = -1;  // what no amount is
  std::string unit;
};

Amount split_unit(const std::string& text) {
  const std::string_view digits = without_plus(text);
  Amount amount;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), amount.number);
  if (error != std::errc() || !std::isfinite(amount.number)) return {};
  for (const char* c = end; c != digits.data() + digits.size(); ++c)
    if (*c != ' ') amount.unit += static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
  return amount;
}

}  // namespace

template <typename T>
T parse_whole(const std::string& text, const std::string& subject, const Range<T>& range) {
  const std::string_view digits = without_plus(text);
  HICI_CHECK_USAGE(is_whole(digits), subject, ": ", shown(text), " is no whole number", way_out(range));
  T value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool fits = error == std::errc() && end == digits.data() + digits.size();
  HICI_CHECK_USAGE(fits, subject, ": ", printable(text), " is out of range", way_out(range));
  check_range(value, text, subject, range);
  return value;
}
template int parse_whole(const std::string&, const std::string&, const Range<int>&);
template int64_t parse_whole(const std::string&, const std::string&, const Range<int64_t>&);
template uint64_t parse_whole(const std::string&, const std::string&, const Range<uint64_t>&);

double parse_real(const std::string& text, const std::string& subject, const Range<double>& range) {
  const std::string_view digits = without_plus(text);
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool is_number = end == digits.data() + digits.size() && !digits.empty() &&
                         error != std::errc::invalid_argument && (error != std::errc() || std::isfinite(value));
  HICI_CHECK_USAGE(is_number, subject, ": ", shown(text), " is no number", way_out(range));
  HICI_CHECK_USAGE(error == std::errc(), subject, ": ", printable(text), " is out of range", way_out(range));
  check_range(value, text, subject, range);
  return value;
}

int64_t parse_tokens(const std::string& text, const std::string& subject, const Range<int64_t>& range) {
  if (is_whole(without_plus(text))) return parse_whole<int64_t>(text, subject, range);
  const Amount amount = split_unit(text);
  const std::string_view units = "KMG";
  const size_t unit = amount.unit.size() == 1 ? units.find(amount.unit) : std::string_view::npos;
  const double tokens =
      unit == std::string_view::npos ? -1 : std::ldexp(amount.number, 10 * static_cast<int>(unit + 1));
  HICI_CHECK_USAGE(tokens >= 0 && tokens == std::floor(tokens), subject, ": ", shown(text),
                   " is no number of tokens; use a whole number, or K, M or G behind one, as in 128K for 131072");
  HICI_CHECK_USAGE(tokens >= static_cast<double>(range.low) && tokens <= static_cast<double>(range.high), subject, ": ",
                   printable(text), " is out of range", way_out(range));
  return static_cast<int64_t>(tokens);
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::vector<std::string> list_items(const std::vector<std::string>& words, const std::string& subject) {
  std::vector<std::string> items;
  for (const std::string& word : words) {
    // --config files and shells with quotes hand "a, b" over as one word.
    std::istringstream in(word);
    for (std::string text; in >> text;) {
      for (std::string& item : split_at_commas(text)) {
        HICI_CHECK_USAGE(std::find(items.begin(), items.end(), item) == items.end(), subject, ": '", item,
                         "' stands there twice; give it once");
        items.push_back(std::move(item));
      }
    }
  }
  HICI_CHECK_USAGE(!items.empty(), subject, ": has no value; give one, or several with commas between them");
  return items;
}

std::vector<int64_t> list_of_lengths(const std::vector<std::string>& words, const std::string& subject) {
  std::vector<int64_t> lengths;
  for (const std::string& item : list_items(words, subject))
    lengths.push_back(parse_tokens(item, subject, {1, kMaxListedTokens}));
  return lengths;
}

std::vector<int64_t> list_of_batches(const std::vector<std::string>& words, const std::string& subject) {
  std::vector<int64_t> batches;
  for (const std::string& item : list_items(words, subject)) batches.push_back(parse_whole(item, subject, kBatch));
  return batches;
}

uint64_t parse_size(const std::string& text, const std::string& subject) {
  static const std::vector<std::pair<std::string, uint64_t>> units{{"", 1},
                                                                   {"B", 1},
                                                                   {"KB", 1000},
                                                                   {"MB", 1000000},
                                                                   {"GB", 1000000000},
                                                                   {"TB", 1000000000000},
                                                                   {"KIB", uint64_t{1} << 10},
                                                                   {"MIB", uint64_t{1} << 20},
                                                                   {"GIB", uint64_t{1} << 30},
                                                                   {"TIB", uint64_t{1} << 40}};
  const Amount amount = split_unit(text);
  const auto found =
      std::find_if(units.begin(), units.end(), [&](const auto& known) { return known.first == amount.unit; });
  const double bytes = found == units.end() ? -1 : amount.number * static_cast<double>(found->second);
  HICI_CHECK_USAGE(bytes >= 1 && bytes < 1e15, subject, ": ", shown(text),
                   " is no size; use a number of bytes, KB, MB, GB, KiB, MiB or GiB, as in 5GB");
  return static_cast<uint64_t>(bytes);
}

uint64_t parse_memory(const std::string& text, const std::string& subject) {
  const Amount amount = split_unit(text);
  HICI_CHECK_USAGE(!amount.unit.empty() || amount.number < kMostGibibytes, subject, ": ", shown(text),
                   " without a unit are GiB, which no machine has; write the unit, as in 24GB or 24000000000B");
  return parse_size(amount.unit.empty() ? text + "GiB" : text, subject);
}

}  // namespace hici::commands
