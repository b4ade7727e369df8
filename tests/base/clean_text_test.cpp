// SPDX-License-Identifier: Apache-2.0
#include "hici/base/clean_text.h"

#include <gtest/gtest.h>

#include <string>

namespace hici {
namespace {

TEST(CleanTextTest, LeavesWordsAndTakesWhatATerminalOrPageMightObey) {
  EXPECT_EQ(clean_text("Llama-3, 8B \xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80"),
            "Llama-3, 8B \xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80");
  EXPECT_EQ(clean_text("a\x1b[2Jb\nc\x7F"), "a?[2Jb?c?");
  EXPECT_EQ(clean_text("\xC2\x9B"
                       "x"),
            "?x");                          // C1 control: an escape sequence in one character
  EXPECT_EQ(clean_text("\xFF\xC3"), "??");  // no UTF-8
  EXPECT_EQ(clean_text("\xC0\xAF\xED\xA0\x80\xF4\x90\x80\x80"), "?????????");  // overlong, surrogate, too large
  EXPECT_EQ(clean_text(std::string_view("a\0b", 3)), "a?b");
}

TEST(CleanTextTest, TakesDirectionsLineSeparatorsAndWhatHasNoWidth) {
  for (const char* character :
       {"\u202A", "\u202B", "\u202C", "\u202D", "\u202E", "\u2066", "\u2067", "\u2068", "\u2069", "\u200E", "\u200F",
        "\u061C", "\u2028", "\u2029", "\u200B", "\u2060", "\uFEFF", "\u00AD", "\U000E0041"})
    EXPECT_EQ(clean_text(std::string("exe.") + character + "txt"), "exe.?txt") << character;
  // Their neighbours are words.
  EXPECT_EQ(clean_text("\u2010\u2027\u202F\u2030\u00AC\u00AE\u061B"), "\u2010\u2027\u202F\u2030\u00AC\u00AE\u061B");
}

TEST(CleanTextTest, AMessageIsOneLineOfWhatIsSeen) {
  EXPECT_EQ(clean_line("one\r\n\ttwo\x1b[K"), "one   two?[K");
  EXPECT_EQ(clean_text("a\u200Db\u200Cc"), "a\u200Db\u200Cc");
  EXPECT_EQ(clean_line("a\u200Db\u200Cc"), "a?b?c");
}

TEST(CleanTextTest, ATerminalGetsTheWordsAndNoControls) {
  EXPECT_EQ(terminal_text("a\tb\n\u200F\u05D0\u200D"), "a\tb\n\u200F\u05D0\u200D");
  EXPECT_EQ(terminal_text("a\x1b]52;c;x\x07 b\u009B2J\x7F\xFF"), "a?]52;c;x? b?2J??");
}

}  // namespace
}  // namespace hici
