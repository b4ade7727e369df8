// SPDX-License-Identifier: Apache-2.0
#include "hici/report/clean_text.h"

#include <gtest/gtest.h>

namespace hici::report {
namespace {

TEST(CleanTextTest, LeavesWordsAndTakesWhatATerminalOrPageMightObey) {
  EXPECT_EQ(clean_text("Llama-3, 8B \xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80"),
            "Llama-3, 8B \xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80");
  EXPECT_EQ(clean_text("a\x1b[2Jb\nc\x7F"), "a?[2Jb?c?");
  EXPECT_EQ(clean_text("\xC2\x9B"
                       "x"),
            "?x");  // C1 control: an escape sequence in one character
  EXPECT_EQ(clean_text("a\xE2\x80\xAE"
                       "b\xE2\x81\xA6\xE2\x80\x8F\xE2\x80\xA8\xD8\x9C"),
            "a?b????");                                                           // direction, line separator
  EXPECT_EQ(clean_text("\xE2\x80\x93\xE2\x80\x8D"), "\xE2\x80\x93\xE2\x80\x8D");  // a dash, a joiner
  EXPECT_EQ(clean_text("\xFF\xC3"), "??");                                        // no UTF-8
  EXPECT_EQ(clean_text("\xC0\xAF\xED\xA0\x80\xF4\x90\x80\x80"), "?????????");     // overlong, surrogate, too large
}

}  // namespace
}  // namespace hici::report
