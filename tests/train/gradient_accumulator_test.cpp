// SPDX-License-Identifier: Apache-2.0
#include "hici/train/gradient_accumulator.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

namespace hici::train {
namespace {

using optim::GroupKind;

optim::TrainedParameter parameter(at::ScalarType type, GroupKind group) {
  return {"p", at::zeros({2, 3}, type).requires_grad_(), group};
}

void give(optim::TrainedParameter& parameter, double value) {
  parameter.tensor.mutable_grad() = at::full({2, 3}, value, parameter.tensor.options().requires_grad(false));
}

TEST(GradientAccumulatorTest, EveryTypeHasASumOfItsOwnInTheWideType) {
  for (const auto& [type, wide] :
       {std::pair{at::kBFloat16, at::kFloat}, {at::kFloat, at::kFloat}, {at::kDouble, at::kDouble}}) {
    optim::TrainedParameter trained = parameter(type, GroupKind::kRest);
    GradientAccumulator gradients({trained});
    for (const double value : {256.0, 1.0, 1.0}) {  // in bfloat16 256 + 1 is 256
      give(trained, value);
      gradients.collect();
      EXPECT_FALSE(trained.tensor.grad().defined()) << "taken away";
    }
    ASSERT_EQ(gradients.sums()[0].scalar_type(), wide);
    EXPECT_TRUE(at::equal(gradients.sums()[0], at::full({2, 3}, 258.0, wide)));
  }
}

TEST(GradientAccumulatorTest, AParameterWithoutGradientHasNoSum) {
  optim::TrainedParameter hici = parameter(at::kFloat, GroupKind::kHici),
                          rest = parameter(at::kFloat, GroupKind::kRest);
  GradientAccumulator gradients({rest, hici, rest});
  give(hici, 2.0);
  gradients.collect();
  EXPECT_FALSE(gradients.sums()[0].defined());
  const optim::GroupedTensors grouped = optim::by_group({rest, hici, rest}, gradients.sums());
  ASSERT_EQ(grouped[static_cast<size_t>(GroupKind::kHici)].size(), 1U);
  ASSERT_EQ(grouped[static_cast<size_t>(GroupKind::kRest)].size(), 2U);
  EXPECT_TRUE(grouped[static_cast<size_t>(GroupKind::kHici)][0].is_same(gradients.sums()[1]));
  give(hici, 1.0);
  gradients.clear();
  EXPECT_FALSE(gradients.sums()[1].defined());
  EXPECT_FALSE(hici.tensor.grad().defined()) << "a step half done is dropped";
}

}  // namespace
}  // namespace hici::train
