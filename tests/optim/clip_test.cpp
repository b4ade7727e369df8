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

// Limits that clip both, one, the other, and none.
TEST(ClipTest, GroupThenAllIsTwoClippings) {
  for (const double scale : {1.0, 0.05, 0.0}) {
    for (const double limit : {0.5, 3.0, 0.0}) {
      auto group = [&] { return std::vector<at::Tensor>{at::full({4}, scale), at::Tensor()}; };
      auto rest = [] { return std::vector<at::Tensor>{at::full({9}, 0.3), at::full({2, 2}, -0.1)}; };
      const std::vector<at::Tensor> a = group(), b = rest(), c = group(), d = rest();
      const double norm = clip_to_norm(a, 0.3);
      const double norm_of_all = clip_to_norm({a[0], a[1], b[0], b[1]}, limit);
      const GroupedNorms got = clip_group_then_all(c, 0.3, d, limit);
      EXPECT_NEAR(got.group, norm, 1e-6);  // float32 norms of tensors
      EXPECT_NEAR(got.all, norm_of_all, 1e-6);
      EXPECT_TRUE(at::allclose(c[0], a[0], 1e-6, 0)) << scale << " " << limit;
      EXPECT_TRUE(at::allclose(d[0], b[0], 1e-6, 0)) << scale << " " << limit;
      EXPECT_TRUE(at::allclose(d[1], b[1], 1e-6, 0)) << scale << " " << limit;
    }
  }
}

// A model without HiCI modules has no group: LibTorch refuses an empty list.
TEST(ClipTest, AnEmptyGroupClipsTheRestAlone) {
  const at::Tensor rest = at::full({4}, 2.0, at::kDouble);
  const GroupedNorms norms = clip_group_then_all({}, 0.3, {rest}, 1.0);
  EXPECT_EQ(norms.group, 0);
  EXPECT_NEAR(norms.all, 4.0, 1e-12);
  EXPECT_NEAR(rest[0].item<double>(), 0.5, 1e-6);
}

}  // namespace
}  // namespace hici::optim
