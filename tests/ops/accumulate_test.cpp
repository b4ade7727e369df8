// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/accumulate.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

namespace hici::ops {
namespace {

TEST(AccumulateTest, AddsEveryGradientInTheTypeOfItsSum) {
  // In bfloat16 256 + 1 is 256.
  const at::Tensor narrow = at::ones({3, 5}, at::kBFloat16), alike = at::ones({2}, at::kDouble);
  const std::vector<at::Tensor> sums{at::full({3, 5}, 256, at::kFloat), at::full({2}, 0.5, at::kDouble)};
  accumulate({narrow, alike}, sums);
  EXPECT_TRUE(at::equal(sums[0], at::full({3, 5}, 257, at::kFloat)));
  EXPECT_TRUE(at::equal(sums[1], at::full({2}, 1.5, at::kDouble)));
}

TEST(AccumulateTest, NothingToAddIsNoError) { EXPECT_NO_THROW(accumulate({}, {})); }

TEST(AccumulateTest, ASumOfAnotherShapeIsRefused) {
  EXPECT_ANY_THROW(accumulate({at::ones({3})}, {at::ones({1, 3})}));
  EXPECT_ANY_THROW(accumulate({at::ones({3})}, {}));
}

}  // namespace
}  // namespace hici::ops
