// SPDX-License-Identifier: Apache-2.0
#include "hici/report/svg/axis.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace hici::report {
namespace {

std::vector<std::string> labels_of(const Axis& axis) {
  std::vector<std::string> labels;
  for (const Tick& tick : axis.ticks) labels.push_back(tick.label);
  return labels;
}

using Labels = std::vector<std::string>;

TEST(AxisTest, LinearLabelsAreRoundAndBeginAtZeroWhenTheValuesAreNearIt) {
  EXPECT_EQ(labels_of(axis_of({1, 1200}, Scale::kLinear, 5)), (Labels{"0", "500", "1000"}));
  EXPECT_EQ(labels_of(axis_of({0, 0.0005}, Scale::kLinear, 5)), (Labels{"0", "0.0002", "0.0004"}));
  EXPECT_EQ(labels_of(axis_of({101, 104}, Scale::kLinear, 5)), (Labels{"101", "102", "103", "104"}));
}

TEST(AxisTest, LogLabelsFitTheRange) {
  EXPECT_EQ(labels_of(axis_of({4.2, 39.2}, Scale::kLog, 5)), (Labels{"5", "10", "20", "30"}));
  EXPECT_EQ(labels_of(axis_of({2, 30'000}, Scale::kLog, 5)), (Labels{"10", "100", "1000", "10000"}));
  EXPECT_GE(axis_of({4.5, 4.6}, Scale::kLog, 5).ticks.size(), 3U);
}

TEST(AxisTest, ValuesLieInsideAndInOrder) {
  for (const Scale scale : {Scale::kLinear, Scale::kLog}) {
    const Axis axis = axis_of({3, 7, 20}, scale, 5);
    EXPECT_GE(axis.position(3), 0);
    EXPECT_LT(axis.position(3), axis.position(7));
    EXPECT_LE(axis.position(20), 1);
    for (const Tick& tick : axis.ticks) {
      EXPECT_GE(tick.value, axis.low * (1 - 1e-9));
      EXPECT_LE(tick.value, axis.high * (1 + 1e-9));
    }
  }
}

TEST(AxisTest, OneValueNoValueAndInfinityStillMakeAnAxis) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<std::vector<double>> odd = {
      {}, {5}, {0}, {-3, -3}, {infinity, std::nan("")}, {1e-300, 1e300}, {0, 1e-320}};
  for (const std::vector<double>& values : odd) {
    for (const Scale scale : {Scale::kLinear, Scale::kLog}) {
      const Axis axis = axis_of(values, scale, 5);
      EXPECT_LT(axis.low, axis.high);
      EXPECT_LT(axis.ticks.size(), 60U);
      for (const Tick& tick : axis.ticks) EXPECT_TRUE(std::isfinite(axis.position(tick.value)));
    }
  }
}

TEST(AxisTest, ContextsAreNamedAsInPapers) {
  EXPECT_EQ(labels_of(context_axis({256, 1000, 1024, 32768, 100'000})), (Labels{"256", "1000", "1K", "32K", "100000"}));
}

TEST(AxisTest, NumbersAreShort) {
  EXPECT_EQ(short_number(0.0005), "0.0005");
  EXPECT_EQ(short_number(2e-5), "2e-05");
  EXPECT_EQ(short_number(1234567), "1.23e+06");
}

}  // namespace
}  // namespace hici::report
