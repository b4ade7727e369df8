// SPDX-License-Identifier: Apache-2.0
#include "hici/text/word_count.h"

#include "hici/text/utf8.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace hici::text {
namespace {

int64_t words_of(const std::string& text) {
  WordCount count;
  count.add(text);
  return count.finish();
}

std::string utf8_of(char32_t point) {
  std::string text;
  if (point < 0x80) return {static_cast<char>(point)};
  if (point < 0x800) {
    text += static_cast<char>(0xC0 | point >> 6);
  } else {
    text += static_cast<char>(point < 0x10000 ? 0xE0 | point >> 12 : 0xF0 | point >> 18);
    if (point >= 0x10000) text += static_cast<char>(0x80 | (point >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (point >> 6 & 0x3F));
  }
  return text + static_cast<char>(0x80 | (point & 0x3F));
}

// Each value is len(re.split(r"\s+", text)) of Python.
TEST(WordCountTest, CountsAsPythonSplits) {
  EXPECT_EQ(words_of(""), 1);
  EXPECT_EQ(words_of("word"), 1);
  EXPECT_EQ(words_of(" word "), 3);
  EXPECT_EQ(words_of("two  words\r\n\tand two"), 4);
  EXPECT_EQ(words_of("   "), 2);
  EXPECT_EQ(words_of("wide\u3000space\u2003and\u00a0more\u2028end"), 5);
  EXPECT_EQ(words_of("zero\u200bwidth \u2060joiner"), 2) << "neither is white space";
}

// The characters of which re.match(r"\s", c) is true in Python 3.11.
TEST(WordCountTest, WhiteSpaceIsThatOfPython) {
  std::set<char32_t> found;
  for (char32_t point = 0; point < 0x11000; ++point) {
    if (point >= 0xD800 && point < 0xE000) continue;
    const std::string text = utf8_of(point);
    ASSERT_EQ(characters_of(text), std::u32string(1, point));
    const size_t bytes = white_space_bytes(text + "x");
    if (bytes == 0) continue;
    EXPECT_EQ(bytes, text.size());
    found.insert(point);
  }
  const std::set<char32_t> wanted = {0x9,    0xA,    0xB,    0xC,    0xD,    0x1C,   0x1D,   0x1E,   0x1F,   0x20,
                                     0x85,   0xA0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006,
                                     0x2007, 0x2008, 0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
  EXPECT_EQ(found, wanted);
}

TEST(WordCountTest, PiecesOfATextCountAsTheWhole) {
  WordCount count;
  for (const char* piece : {"two  ", " wor", "ds", "\u3000", "", "\n"}) count.add(piece);
  EXPECT_EQ(count.finish(), 3);
  count.add("another text");
  EXPECT_EQ(count.finish(), 2);
}

TEST(Utf8Test, CharactersAreCodePointsAndBytesThatAreNoneStandApart) {
  EXPECT_EQ(characters_of(""), U"");
  EXPECT_EQ(characters_of("a\u00e9\u6f6e\U0001f600"), U"a\u00e9\u6f6e\U0001f600");
  EXPECT_EQ(characters_of("a\xFF\xE6\xBD"), (std::u32string{U'a', 0xDCFF, 0xDCE6, 0xDCBD}));
}

}  // namespace
}  // namespace hici::text
