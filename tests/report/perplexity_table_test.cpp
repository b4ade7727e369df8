// SPDX-License-Identifier: Apache-2.0
#include "hici/report/perplexity_table.h"

#include <gtest/gtest.h>

#include <vector>

namespace hici::report {
namespace {

std::vector<PerplexityResult> sample_results() {
  return {{.label = "base", .attention = "full", .context = 1024, .perplexity = 21.625},
          {.label = "base", .attention = "full", .context = 256, .perplexity = 4.2},
          {.label = "HiCI", .attention = "HiCI", .context = 256, .perplexity = 4.75}};
}

TEST(PerplexityTableTest, RowsKeepTheirOrderAndContextsRise) {
  const PerplexityTable table = make_perplexity_table(sample_results());
  EXPECT_EQ(table_text(table),
            "model  attention   256   1024\n"
            "-----------------------------\n"
            "base   full       4.20  21.62\n"
            "HiCI   HiCI       4.75      -\n");
  EXPECT_TRUE(table.is_best(0, 0));
  EXPECT_FALSE(table.is_best(1, 0));
  EXPECT_FALSE(table.is_best(1, 1)) << "no result is not the best";
}

TEST(PerplexityTableTest, CsvHasEveryDigitAndQuotesWhatNeedsIt) {
  std::vector<PerplexityResult> results = sample_results();
  results[2].label = "HiCI, \"8B\"";
  results[2].perplexity = 0.1 + 0.2;
  EXPECT_EQ(table_csv(make_perplexity_table(results)),
            "model,attention,256,1024\nbase,full,4.2,21.625\n\"HiCI, \"\"8B\"\"\",HiCI,0.30000000000000004,\n");
}

TEST(PerplexityTableTest, LatexMarksTheBestAndEscapes) {
  std::vector<PerplexityResult> results = sample_results();
  results[2].label = "a_b 50% \\input{x} ^~#$&";
  EXPECT_EQ(table_latex(make_perplexity_table(results)),
            "% needs \\usepackage{booktabs}\n\\begin{tabular}{llrr}\n\\toprule\nModel & Attention & 256 & 1024 "
            "\\\\\n\\midrule\n"
            "base & full & \\textbf{4.20} & \\textbf{21.62} \\\\\n"
            "a\\_b 50\\% \\textbackslash{}input\\{x\\} \\^{}\\~{}\\#\\$\\& & HiCI & 4.75 & -- "
            "\\\\\n\\bottomrule\n\\end{tabular}\n");
}

TEST(PerplexityTableTest, LargeAndMissingValuesStayReadable) {
  EXPECT_EQ(shown_perplexity(999.994), "999.99");
  EXPECT_EQ(shown_perplexity(1234.56), "1234.6");
  EXPECT_EQ(shown_perplexity(123456.7), "123457");
  EXPECT_EQ(shown_perplexity(2.5e9), "2e+09");
  EXPECT_EQ(shown_perplexity(kNotANumber), "-");
}

}  // namespace
}  // namespace hici::report
