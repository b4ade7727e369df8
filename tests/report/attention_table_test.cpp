// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/attention_table.h"

#include "hici/report/figures.h"

#include <gtest/gtest.h>

#include <vector>

namespace hici::report {
namespace {

const std::vector<AttentionResult> kAttentionResults = {{.label = "m",
                                                         .global = {{0.125, 0.375}, {0, 0.5}},
                                                         .local = {{0.25, 0.25}, {0.5, 0.5}},
                                                         .token = {{0.625, 0.375}, {0.5, 0}}}};

TEST(AttentionTableTest, SharesAreMeansOverHeadsAndOverLayers) {
  EXPECT_EQ(table_csv(attention_table(kAttentionResults)),
            "model,global slots,local slots,tokens\nm,0.25,0.375,0.375\n");
  EXPECT_EQ(table_csv(attention_layer_table(kAttentionResults)),
            "model,layer,global slots,local slots,tokens\nm,0,0.25,0.25,0.5\nm,1,0.25,0.5,0.25\n");
}

TEST(AttentionTableTest, ThePlotHasAPointForEachLayerAndBeginsAtZero) {
  const Plot plot = attention_plot(kAttentionResults, &AttentionResult::local, "local slots", Looks({}));
  ASSERT_EQ(plot.series.size(), 1U);
  ASSERT_EQ(plot.series[0].points.size(), 2U);
  EXPECT_EQ(plot.series[0].points[1].x, 1);
  EXPECT_EQ(plot.series[0].points[1].y, 0.5);
  EXPECT_EQ(plot.y.low, 0);
}

}  // namespace
}  // namespace hici::report
