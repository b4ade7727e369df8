// SPDX-License-Identifier: Apache-2.0
#include "hici/text/utf8.h"

#include <cstdint>
#include <cstring>

namespace hici::text {
namespace {

struct Lead {
  size_t num_bytes = 0;      // of the character; 0: no character starts with this byte
  unsigned char low = 0x80;  // bounds of its second byte
  unsigned char high = 0xBF;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {.num_bytes = 1};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {.num_bytes = 2};
  if (byte < 0xF0)
    return {.num_bytes = 3,
            .low = byte == 0xE0 ? uint8_t{0xA0} : uint8_t{0x80},
            .high = byte == 0xED ? uint8_t{0x9F} : uint8_t{0xBF}};
  if (byte < 0xF5)
    return {.num_bytes = 4,
            .low = byte == 0xF0 ? uint8_t{0x90} : uint8_t{0x80},
            .high = byte == 0xF4 ? uint8_t{0x8F} : uint8_t{0xBF}};
  return {};
}

size_t ascii_run(const char* text, size_t size) {
  size_t done = 0;
  for (uint64_t word; done + sizeof word <= size; done += sizeof word) {
    std::memcpy(&word, text + done, sizeof word);
    if (word & 0x8080808080808080u) break;
  }
  return done;
}

}  // namespace

Utf8Prefix valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    at += ascii_run(text.data() + at, text.size() - at);
    if (at == text.size()) break;
    const Lead lead = lead_of(static_cast<unsigned char>(text[at]));
    if (lead.num_bytes == 0) return {.valid_bytes = at, .is_cut = false};
    for (size_t i = 1; i < lead.num_bytes; ++i) {
      if (at + i == text.size()) return {.valid_bytes = at, .is_cut = true};
      const auto byte = static_cast<unsigned char>(text[at + i]);
      const bool fits = i == 1 ? byte >= lead.low && byte <= lead.high : (byte & 0xC0) == 0x80;
      if (!fits) return {.valid_bytes = at, .is_cut = false};
    }
    at += lead.num_bytes;
  }
  return {.valid_bytes = at, .is_cut = false};
}

std::u32string characters_of(std::string_view text) {
  std::u32string characters;
  characters.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    const size_t size = lead_of(first).num_bytes;
    if (size == 0 || valid_utf8_prefix(text.substr(at, size)).valid_bytes != size) {
      characters.push_back(0xDC00 + first);
      ++at;
      continue;
    }
    char32_t point = size == 1 ? first : first & (0x7FU >> size);
    for (size_t i = 1; i < size; ++i) point = point << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3F);
    characters.push_back(point);
    at += size;
  }
  return characters;
}

}  // namespace hici::text
