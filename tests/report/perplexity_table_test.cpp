// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/perplexity_table.h"

#include <gtest/gtest.h>

#include <vector>

namespace hici::report {
namespace {

TEST(PerplexityTableTest, RowsKeepTheirOrderAndContextsRise) {
  const Table table = perplexity_table({{.label = "base", .attention = "full", .context = 1024, .perplexity = 21.625},
                                        {.label = "base", .attention = "full", .context = 256, .perplexity = 4.2},
                                        {.label = "HiCI", .attention = "HiCI", .context = 256, .perplexity = 4.75}});
  EXPECT_EQ(table_text(table),
            "model  attention   256   1024\n"
            "-----------------------------\n"
            "base   full       4.20  21.62\n"
            "HiCI   HiCI       4.75      -\n");
  EXPECT_TRUE(table.is_best(0, 0));
  EXPECT_FALSE(table.is_best(1, 0));
  EXPECT_FALSE(table.is_best(1, 1)) << "no result is not the best";
}

TEST(PerplexityTableTest, LargeValuesStayReadable) {
  EXPECT_EQ(shown_perplexity(999.994), "999.99");
  EXPECT_EQ(shown_perplexity(1234.56), "1234.6");
  EXPECT_EQ(shown_perplexity(123456.7), "123457");
  EXPECT_EQ(shown_perplexity(2.5e9), "2e+09");
}

}  // namespace
}  // namespace hici::report
