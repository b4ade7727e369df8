// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/lists.h"

#include "hici/base/error.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <sstream>
#include <system_error>
#include <utility>

namespace hici::commands {

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
  for (const std::string& item : list_items(words, subject)) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), value);
    HICI_CHECK_USAGE(error == std::errc() && end == item.data() + item.size() && value >= 1, subject, ": '", item,
                     "' is no number of tokens; use whole numbers from 1, as in 8192,16384");
    lengths.push_back(value);
  }
  return lengths;
}

uint64_t parse_size(const std::string& text, const std::string& subject) {
  static const std::vector<std::pair<std::string, uint64_t>> units{
      {"", 1},          {"B", 1},         {"KB", 1000},    {"MB", 1000000}, {"GB", 1000000000},
      {"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit;
  for (const char* c = end; c != text.data() + text.size(); ++c)
    if (*c != ' ') unit += static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
  const auto found = std::find_if(units.begin(), units.end(), [&](const auto& known) { return known.first == unit; });
  HICI_CHECK_USAGE(error == std::errc() && found != units.end() && number > 0 && number < 1e15, subject, ": '", text,
                   "' is no size; use a number of bytes, KB, MB or GB, as in 5GB");
  return static_cast<uint64_t>(number * static_cast<double>(found->second));
}

}  // namespace hici::commands
