// SPDX-License-Identifier: Apache-2.0
// Numbers in text of unknown origin, without locale and without the exceptions of std::stoll and its siblings.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace hici {

// The number that the whole text is, in decimal digits; nothing for other text (signs of '+', spaces, a rest behind the
// number) and for a number that `Number` does not hold.
template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, number);
  return problem == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

}  // namespace hici
