// SPDX-License-Identifier: Apache-2.0
#include "hici/base/clean_text.h"

#include <algorithm>
#include <array>

namespace hici {
namespace {

// Length in bytes of the valid UTF-8 character at the start of the text, 0 when there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto is_next = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return is_next(1) ? 2 : 0;
  if ((first & 0xF0) == 0xE0) {
    const bool is_overlong = first == 0xE0 && byte(1) < 0xA0;
    const bool is_surrogate = first == 0xED && byte(1) >= 0xA0;
    return is_next(1) && is_next(2) && !is_overlong && !is_surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool is_out_of_range = (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) >= 0x90);
    return is_next(1) && is_next(2) && is_next(3) && !is_out_of_range ? 4 : 0;
  }
  return 0;
}

// The code point of one valid character.
char32_t code_point(std::string_view character) {
  constexpr std::array<unsigned, 5> kLeadBits{0, 0x7F, 0x1F, 0x0F, 0x07};
  char32_t point = static_cast<unsigned char>(character[0]) & kLeadBits[character.size()];
  for (const char next : character.substr(1)) point = point << 6 | (static_cast<unsigned char>(next) & 0x3F);
  return point;
}

struct Range {
  char32_t first, last;
};

// Characters that show nothing of their own and change how the text around them is shown or read.
constexpr Range kUnseen[] = {{0x00, 0x1F},         // C0
                             {0x7F, 0x9F},         // delete, C1
                             {0xAD, 0xAD},         // soft hyphen
                             {0x61C, 0x61C},       // Arabic letter mark
                             {0x180E, 0x180E},     // Mongolian vowel separator
                             {0x200B, 0x200F},     // zero width, marks of direction
                             {0x2028, 0x202E},     // separators of lines, embeddings and overrides of direction
                             {0x2060, 0x206F},     // word joiner, invisible operators, isolates, old format controls
                             {0xFEFF, 0xFEFF},     // byte order mark
                             {0xFFF9, 0xFFFB},     // interlinear annotation
                             {0xE0000, 0xE007F}};  // tags

bool is_control(char32_t point) { return point < 0x20 || (point >= 0x7F && point <= 0x9F); }

bool is_unseen(char32_t point) {
  return std::any_of(std::begin(kUnseen), std::end(kUnseen),
                     [&](const Range& range) { return point >= range.first && point <= range.last; });
}

// '?' for each byte that is no UTF-8 and each character that `is_taken`.
template <typename Predicate>
std::string with_marks_for(std::string_view text, const Predicate& is_taken) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<size_t>(length, 1));
    clean += length == 0 || is_taken(code_point(character)) ? "?" : character;
    text.remove_prefix(character.size());
  }
  return clean;
}

}  // namespace

std::string clean_text(std::string_view text) {
  constexpr char32_t kNonJoiner = 0x200C, kJoiner = 0x200D;
  return with_marks_for(text,
                        [](char32_t point) { return is_unseen(point) && point != kNonJoiner && point != kJoiner; });
}

std::string clean_line(std::string_view text) {
  std::string line(text);
  std::replace_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  return with_marks_for(line, is_unseen);
}

std::string terminal_text(std::string_view text) {
  return with_marks_for(text, [](char32_t point) { return is_control(point) && point != '\n' && point != '\t'; });
}

}  // namespace hici
