// SPDX-License-Identifier: Apache-2.0
#include "hici/text/word_count.h"

#include <utility>

namespace hici::text {
namespace {

// Of the characters that begin with this byte and are 3 bytes long: U+1680, U+2000 and on, U+3000.
bool is_wide_space(unsigned first, unsigned second, unsigned third) {
  if (first == 0xE1) return second == 0x9A && third == 0x80;
  if (first == 0xE3) return second == 0x80 && third == 0x80;
  if (first != 0xE2) return false;
  if (second == 0x81) return third == 0x9F;
  return second == 0x80 && ((third >= 0x80 && third <= 0x8A) || third == 0xA8 || third == 0xA9 || third == 0xAF);
}

}  // namespace

size_t white_space_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(0);
  if (first < 0x80) return first == ' ' || (first >= 0x09 && first <= 0x0D) || (first >= 0x1C && first <= 0x1F) ? 1 : 0;
  if (first == 0xC2) return byte(1) == 0x85 || byte(1) == 0xA0 ? 2 : 0;
  return is_wide_space(first, byte(1), byte(2)) ? 3 : 0;
}

void WordCount::add(std::string_view piece) {
  while (!piece.empty()) {
    const size_t space = white_space_bytes(piece);
    if (space > 0 && !in_white_space_) ++runs_;
    in_white_space_ = space > 0;
    piece.remove_prefix(space > 0 ? space : 1);
  }
}

int64_t WordCount::finish() {
  in_white_space_ = false;
  return std::exchange(runs_, 0) + 1;
}

}  // namespace hici::text
