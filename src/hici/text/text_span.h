// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace hici::text {

// Bytes [begin, end) of a text.
struct TextSpan {
  size_t begin = 0;
  size_t end = 0;
  bool operator==(const TextSpan&) const = default;
};

}  // namespace hici::text
