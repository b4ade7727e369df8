// SPDX-License-Identifier: Apache-2.0
// Words of options and files, whose letters may be of either case.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>

namespace hici {

// ASCII letters in lower case, everything else as it is.
inline std::string in_lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace hici
