// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rotary.h"

#include "support/gradcheck.h"

#include <cmath>

namespace hici::ops {
namespace {

RotaryTables small_tables(int64_t first = 0) {
  return make_rotary_tables({1.0, 0.1}, 1.0, first, 5, at::kDouble, at::kCPU);
}

TEST(RotaryTest, RotatesPairsOfTheTwoHalves) {
  at::manual_seed(1);
  const at::Tensor x = testing::randn64({1, 5, 2, 4});
  const at::Tensor y = rotary(x, small_tables(7));
  for (int64_t t = 0; t < 5; ++t) {
    const double angle = 0.1 * static_cast<double>(7 + t);
    const double a = x[0][t][1][1].item<double>(), b = x[0][t][1][3].item<double>();
    EXPECT_NEAR(y[0][t][1][1].item<double>(), a * std::cos(angle) - b * std::sin(angle), 1e-12);
    EXPECT_NEAR(y[0][t][1][3].item<double>(), b * std::cos(angle) + a * std::sin(angle), 1e-12);
  }
}

TEST(RotaryTest, BackwardMatchesCentralDifferences) {
  at::manual_seed(2);
  testing::check_gradients([](const std::vector<at::Tensor>& in) { return rotary(in[0], small_tables()); },
                           {testing::randn64({2, 5, 2, 4})});
}

// float32 angles of positions in the millions are off by a tenth of a radian; the tables are made in float64.
TEST(RotaryTest, TablesKeepTheirPrecisionAtLargePositions) {
  const RotaryTables tables = make_rotary_tables({1.0}, 1.0, 10'000'019, 1, at::kFloat, at::kCPU);
  EXPECT_NEAR(tables.cos.item<float>(), std::cos(10'000'019.0), 1e-6);
}

}  // namespace
}  // namespace hici::ops
