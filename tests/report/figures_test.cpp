// SPDX-License-Identifier: Apache-2.0
#include "hici/report/figures.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace hici::report {
namespace {

std::vector<Point> line_of(size_t count) {
  std::vector<Point> points;
  for (size_t i = 0; i < count; ++i) points.push_back({static_cast<double>(i), 3 - 0.01 * static_cast<double>(i)});
  return points;
}

TEST(FiguresTest, SmoothingLeavesAStraightLineWhereItIs) {
  const std::vector<Point> points = line_of(200);
  const std::vector<Point> smooth = smoothed(points);
  for (size_t i = 0; i + 3 < points.size(); ++i) EXPECT_NEAR(smooth[i].y, points[i].y, 1e-9) << i;
  EXPECT_NEAR(smooth.back().y, points.back().y, 0.02) << "the last mean has values on one side only";
}

TEST(FiguresTest, SmoothingTakesNoiseAndKeepsGaps) {
  std::vector<Point> points;
  for (int i = 0; i < 600; ++i) points.push_back({static_cast<double>(i), i % 2 == 0 ? 1.0 : 3.0});
  points[300].y = kNotANumber;
  const std::vector<Point> smooth = smoothed(points);
  EXPECT_TRUE(std::isnan(smooth[300].y));
  EXPECT_NEAR(smooth[100].y, 2, 0.1);
  EXPECT_NEAR(smooth[301].y, 2, 0.2);  // its neighbour is the gap
  EXPECT_TRUE(smoothed({}).empty());
}

TEST(FiguresTest, ThinningKeepsTheOutline) {
  std::vector<Point> points = line_of(100'000);
  points[54'321].y = 1e6;
  points[54'322].y = -1e6;
  const std::vector<Point> thin = thinned(points, 600);
  EXPECT_LE(thin.size(), 600U);
  double low = 0;
  double high = 0;
  double x_before = -1;
  for (const Point& point : thin) {
    EXPECT_GT(point.x, x_before);
    x_before = point.x;
    low = std::min(low, point.y);
    high = std::max(high, point.y);
  }
  EXPECT_EQ(low, -1e6);
  EXPECT_EQ(high, 1e6);
}

TEST(FiguresTest, TheLossAxisIsLogarithmicWhenTheLossesSpanMuch) {
  TrainingRun run{.name = "r", .steps = {{.step = 1, .loss = 8}, {.step = 2, .loss = 1.5}}};
  EXPECT_EQ(loss_plot({run}, Looks({})).y.scale, Scale::kLog);
  run.steps[1].loss = 4;
  EXPECT_EQ(loss_plot({run}, Looks({})).y.scale, Scale::kLinear);
}

TEST(FiguresTest, EvaluationsAreALineOfTheirOwnBesideTheTrainingLoss) {
  TrainingRun run{.name = "r", .steps = {{.step = 1, .loss = 3}, {.step = 2, .loss = 2}}};
  EXPECT_EQ(loss_plot({run}, Looks({})).series.size(), 1U);
  run.evaluations = {{0, 3.5}, {2, 2.5}};
  const Plot plot = loss_plot({run}, Looks({}));
  ASSERT_EQ(plot.series.size(), 2U);
  EXPECT_EQ(plot.series[1].name, "r, evaluation");
  ASSERT_EQ(plot.series[1].points.size(), 2U);
  EXPECT_EQ(plot.series[1].points[0].x, 0);
  EXPECT_EQ(plot.series[1].points[1].y, 2.5) << "not smoothed";
}

TEST(FiguresTest, RowsAreNamedByTheirModelAndByTheirAttentionWhereTheyShareIt) {
  const Table table{.name_columns = {"model", "attention"},
                    .rows = {{{"base", "full"}, {}}, {{"HiCI", "full"}, {}}, {{"HiCI", "HiCI, dtype Float"}, {}}}};
  EXPECT_EQ(row_names(table),
            (std::vector<std::string>{"base", "HiCI, full attention", "HiCI, HiCI attention, dtype Float"}));
}

TEST(FiguresTest, TheHiciRateIsALineOnlyWhereItDiffers) {
  const TrainingRun one{.name = "a", .steps = {{.step = 1, .learning_rate = 1e-3, .hici_learning_rate = 1e-3}}};
  const TrainingRun two{.name = "b", .steps = {{.step = 1, .learning_rate = 1e-3, .hici_learning_rate = 2e-3}}};
  EXPECT_EQ(learning_rate_plot({one, two}, Looks({})).series.size(), 3U);
}

}  // namespace
}  // namespace hici::report
