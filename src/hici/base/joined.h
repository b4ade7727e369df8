// SPDX-License-Identifier: Apache-2.0
// Words as one text.
#pragma once

#include <string>
#include <string_view>

namespace hici {

// "a, b, c" of any range of texts; empty for none.
template <typename Words>
std::string joined(const Words& words, std::string_view separator = ", ") {
  std::string text;
  bool is_first = true;
  for (const auto& word : words) {
    if (!is_first) text.append(separator);
    text.append(word);
    is_first = false;
  }
  return text;
}

}  // namespace hici
