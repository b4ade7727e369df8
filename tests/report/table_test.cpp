// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace hici::report {
namespace {

Table sample(Best best) {
  return {.name_columns = {"model"},
          .value_columns = {"x", "y"},
          .rows = {{.names = {"a"}, .values = {1, 3}}, {.names = {"b"}, .values = {2, kNotANumber}}},
          .best = best};
}

std::string marks(const Table& table) {
  std::string marks;
  for (size_t r = 0; r < table.rows.size(); ++r) {
    for (size_t c = 0; c < table.value_columns.size(); ++c) marks += table.is_best(r, c) ? 'B' : '.';
  }
  return marks;
}

TEST(TableTest, TheBestStandsAmongOthersAndIsANumber) {
  EXPECT_EQ(marks(sample(Best::kNone)), "....");
  EXPECT_EQ(marks(sample(Best::kLowestOfColumn)), "BB..");
  EXPECT_EQ(marks(sample(Best::kHighestOfColumn)), ".BB.");
  EXPECT_EQ(marks(sample(Best::kHighestOfRow)), ".BB.");
  Table one_row = sample(Best::kHighestOfColumn);
  one_row.rows.pop_back();
  EXPECT_EQ(marks(one_row), "..");
  Table tie = sample(Best::kHighestOfColumn);
  tie.rows[1].values = {1, 3};
  EXPECT_EQ(marks(tie), "BBBB");
}

TEST(TableTest, EntriesMakeRowsInTheirOrderAndColumnsThatRise) {
  Table table{.name_columns = {"model"}};
  add_entries(table, {{.names = {"b"}, .column = 200, .value = 2},
                      {.names = {"a"}, .column = 5, .value = 1, .detail = "1/1"},
                      {.names = {"b"}, .column = 200, .value = 3}});
  EXPECT_EQ(table_text(table),
            "model           5   200\n"
            "-----------------------\n"
            "b               -  3.00\n"
            "a      1.00 (1/1)     -\n");
}

TEST(TableTest, CsvHasEveryDigitAndQuotesWhatNeedsIt) {
  Table table = sample(Best::kLowestOfColumn);
  table.rows[0] = {.names = {"HiCI, \"8B\""}, .values = {0.1 + 0.2, kNotANumber}};
  EXPECT_EQ(table_csv(table), "model,x,y\n\"HiCI, \"\"8B\"\"\",0.30000000000000004,\nb,2,\n");
}

TEST(TableTest, LatexMarksTheBestAndEscapes) {
  Table table = sample(Best::kLowestOfColumn);
  table.value_columns[1] = "50 %";
  table.rows[0].names[0] = "a_b 50% \\input{x} ^~#$&";
  EXPECT_EQ(table_latex(table),
            "% needs \\usepackage{booktabs}\n\\begin{tabular}{lrr}\n\\toprule\nModel & x & 50 \\% \\\\\n\\midrule\n"
            "a\\_b 50\\% \\textbackslash{}input\\{x\\} \\^{}\\~{}\\#\\$\\& & \\textbf{1.00} & \\textbf{3.00} \\\\\n"
            "b & 2.00 & -- \\\\\n\\bottomrule\n\\end{tabular}\n");
}

TEST(TableTest, HeadingsBeginWithACapital) {
  EXPECT_EQ(capitalised("data set"), "Data set");
  EXPECT_EQ(capitalised("\xC3\xA9"), "\xC3\xA9");
  EXPECT_EQ(capitalised(""), "");
}

}  // namespace
}  // namespace hici::report
