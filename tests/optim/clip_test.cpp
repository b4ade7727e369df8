// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/clip.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <limits>

namespace hici::optim {
namespace {

TEST(ClipTest, ScalesAllTensorsTogetherAndReturnsTheNormBefore) {
  const std::vector<at::Tensor> gradients{at::full({4}, 3.0), at::Tensor(), at::full({4}, 4.0)};
  EXPECT_NEAR(clip_to_norm(gradients, 1.0), 10.0, 1e-6);
  EXPECT_NEAR(global_norm(gradients), 1.0, 1e-6);
}

TEST(ClipTest, LeavesSmallAndNonFiniteGradientsAlone) {
  const std::vector<at::Tensor> small{at::full({1}, 0.5)};
  clip_to_norm(small, 1.0);
  EXPECT_EQ(small[0].item<float>(), 0.5f);
  const std::vector<at::Tensor> broken{at::full({1}, std::numeric_limits<float>::infinity()), at::full({1}, 2.0)};
  clip_to_norm(broken, 1.0);
  EXPECT_EQ(broken[1].item<float>(), 2.0f);
}

}  // namespace
}  // namespace hici::optim
