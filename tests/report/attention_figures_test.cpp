// SPDX-License-Identifier: Apache-2.0
// What the figures show; that they are well-formed is checked by tests/integration/test_eval_attention.py.
#include "hici/report/attention_figures.h"

#include "hici/report/svg/svg_file.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hici::report {
namespace {

// Six layers of two heads; layer l gives global slots l %, local slots twice that in head 0 and nothing in head 1.
eval::AttentionProfile sample_profile() {
  eval::AttentionProfile profile;
  for (int l = 0; l < 6; ++l) {
    const double share = l / 100.0;
    profile.global.push_back({share, share});
    profile.local.push_back({2 * share, 0});
    profile.token.push_back({1 - 3 * share, 1 - share});
  }
  profile.map = eval::AttentionMap{1, 1, 8, {{0.2, 0.2, 0.6, 0}, {0.1, 0.1, 0.5, 0.3}}};
  return profile;
}

TEST(AttentionFiguresTest, TheTrendHasTheMeanOverTheHeadsOfEachPart) {
  const Plot plot = layer_trend_plot(sample_profile());
  ASSERT_EQ(plot.series.size(), 3u);
  EXPECT_EQ(plot.series[1].name, "local slots");
  ASSERT_EQ(plot.series[1].points.size(), 6u);
  EXPECT_DOUBLE_EQ(plot.series[1].points[4].x, 4);
  EXPECT_DOUBLE_EQ(plot.series[1].points[4].y, 0.04);
}

TEST(AttentionFiguresTest, PartsThatNobodySeesHaveNoLine) {
  eval::AttentionProfile profile = sample_profile();
  for (std::vector<double>& heads : profile.local) heads = {0, 0};
  EXPECT_EQ(layer_trend_plot(profile).series.size(), 2u);
  EXPECT_EQ(depth_plot(profile).series.size(), 2u);
}

TEST(AttentionFiguresTest, ShallowAndDeepAreMeansOverAThirdOfTheLayersEach) {
  const Plot plot = depth_plot(sample_profile());
  ASSERT_EQ(plot.series.size(), 4u);
  EXPECT_EQ(plot.series[0].name, "global slots, shallow");
  EXPECT_DOUBLE_EQ(plot.series[0].points[1].y, 0.005);  // layers 0 and 1
  EXPECT_EQ(plot.series[3].name, "local slots, deep");
  EXPECT_DOUBLE_EQ(plot.series[3].points[0].y, 0.09);  // layers 4 and 5
}

TEST(AttentionFiguresTest, APartHasOneColourInAllFigures) {
  eval::AttentionProfile profile = sample_profile();
  EXPECT_EQ(layer_trend_plot(profile).series[1].look.owner, depth_plot(profile).series[2].look.owner);
  EXPECT_EQ(depth_plot(profile).series[3].look.owner, depth_plot(profile).series[2].look.owner);
  EXPECT_NE(depth_plot(profile).series[3].look.variant, depth_plot(profile).series[2].look.variant);
  const size_t local = layer_trend_plot(profile).series[1].look.owner;
  for (std::vector<double>& heads : profile.global) heads = {0, 0};
  EXPECT_EQ(layer_trend_plot(profile).series[0].name, "local slots");
  EXPECT_EQ(layer_trend_plot(profile).series[0].look.owner, local) << "also where there are no global slots";
}

TEST(AttentionFiguresTest, OneLayerIsBothShallowAndDeep) {
  eval::AttentionProfile profile;
  profile.global = {{0.1}};
  profile.local = {{0.2}};
  profile.token = {{0.7}};
  const std::vector<Figure> figures = attention_figures(profile);
  ASSERT_EQ(figures.size(), 3u);  // no map
  EXPECT_DOUBLE_EQ(depth_plot(profile).series[1].points[0].y, 0.1);
}

TEST(AttentionFiguresTest, TheMapOfHeadsAddsTheSlotsUp) {
  const HeatMap map = head_map(sample_profile());
  EXPECT_EQ(map.rows.size(), 6u);
  EXPECT_DOUBLE_EQ(map.values[5][0], 0.15);
  EXPECT_DOUBLE_EQ(map.values[5][1], 0.05);
  EXPECT_DOUBLE_EQ(map.full, 0.15);
}

TEST(AttentionFiguresTest, TokensBehindTheQueriesAreEmptyCells) {
  const HeatMap map = segment_map(*sample_profile().map);
  EXPECT_EQ(map.columns, (std::vector<std::string>{"G0", "L0", "0", "8"}));
  EXPECT_EQ(map.rows, (std::vector<std::string>{"0", "8"}));
  EXPECT_TRUE(std::isnan(map.values[0][3]));
  EXPECT_DOUBLE_EQ(map.values[1][3], 0.3);
}

TEST(SvgFileTest, BringsItsStyleAndHasNoVariables) {
  const std::string svg = standalone_svg(render_svg(depth_plot(sample_profile()), {}));
  EXPECT_TRUE(svg.starts_with("<svg xmlns='http://www.w3.org/2000/svg' "));
  EXPECT_EQ(svg.find("var("), std::string::npos);
  EXPECT_NE(svg.find("stroke:#0064a8"), std::string::npos);  // --series-1 in light windows
  EXPECT_NE(svg.find("svg .grid { stroke: #e7e9eb;"), std::string::npos);
}

}  // namespace
}  // namespace hici::report
