// SPDX-License-Identifier: Apache-2.0
// Checking UTF-8 in pieces of a stream, and its characters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hici::text {

// The mark that some editors put before a text; it is no part of it.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

struct Utf8Prefix {
  size_t valid_bytes = 0;  // whole characters at the start
  bool is_cut = false;     // what follows them may be the start of one more character
};

// Checks by the definition of Unicode: no overlong forms, no surrogates, nothing above U+10FFFF. The text is UTF-8 when
// valid_bytes is its size; `is_cut` says that more bytes may make it so.
Utf8Prefix valid_utf8_prefix(std::string_view text);

// The code points. A byte that belongs to no character is U+DC00 plus its value, as with Python's "surrogateescape".
std::u32string characters_of(std::string_view text);

}  // namespace hici::text
