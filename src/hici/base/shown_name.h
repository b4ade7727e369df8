// SPDX-License-Identifier: Apache-2.0
// Names out of foreign files (columns, splits, keys) as messages show them.
#pragma once

#include "hici/base/clean_text.h"

#include <string>
#include <string_view>

namespace hici {

// In its own writing on one line, cut when long and never inside a character; what shows nothing is '?'.
inline std::string shown_name(std::string_view name, size_t max_bytes = 80) {
  if (name.size() <= max_bytes) return clean_line(name);
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return clean_line(name.substr(0, end)).append("...");
}

}  // namespace hici
