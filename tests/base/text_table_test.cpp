// SPDX-License-Identifier: Apache-2.0
#include "hici/base/text_table.h"

#include <gtest/gtest.h>

namespace hici {
namespace {

TEST(TextTableTest, ACellThatASpreadsheetWouldRunIsText) {
  EXPECT_EQ(csv_field("=HYPERLINK(A1)"), "'=HYPERLINK(A1)");
  EXPECT_EQ(csv_field("=cmd|' /C calc'!A0,1"), "\"'=cmd|' /C calc'!A0,1\"");
  EXPECT_EQ(csv_field("+1"), "'+1");
  EXPECT_EQ(csv_field("@SUM(A1)"), "'@SUM(A1)");
  EXPECT_EQ(csv_field("\t=1"), "'\t=1");
  EXPECT_EQ(csv_field("\r=1"), "\"'\r=1\"");
  EXPECT_EQ(csv_field("-1+1"), "'-1+1");
  EXPECT_EQ(csv_field("-"), "'-");
}

TEST(TextTableTest, NumbersAndOtherTextStayAsTheyAre) {
  for (const char* text : {"", "-1", "-2.5e-07", "HiCI 8B", "a=b", "8K+", "'quoted'"}) EXPECT_EQ(csv_field(text), text);
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("a \"b\""), "\"a \"\"b\"\"\"");
  EXPECT_EQ(csv_line({"a", "", "1.5"}), "a,,1.5\n");
}

TEST(TextTableTest, LatexGetsNoCommandsFromText) {
  EXPECT_EQ(latex_escape("\\a{b}$c$ & #_% ^~ <|>"),
            "\\textbackslash{}a\\{b\\}\\$c\\$ \\& \\#\\_\\% \\^{}\\~{} \\textless{}\\textbar{}\\textgreater{}");
  EXPECT_EQ(latex_row({"[HiCI] 8B", "1.5"}), "{}[HiCI] 8B & 1.5 \\\\\n")
      << "\\\\ and \\midrule take what is in brackets";
  EXPECT_EQ(latex_row({"*", "[x]"}), "{}* & [x] \\\\\n");
  EXPECT_EQ(latex_row({"a", "b"}), "a & b \\\\\n");
}

}  // namespace
}  // namespace hici
