// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/clip.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hici::optim {
namespace {

// Euclidean norm of all that is there, by one number at a time.
double norm_of(const std::vector<at::Tensor>& tensors) {
  double squares = 0;
  for (const at::Tensor& t : tensors) {
    if (t.defined()) squares += t.to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(squares);
}

// torch.nn.utils.clip_grad_norm_ for one list.
double clip_list(const std::vector<at::Tensor>& tensors, double limit) {
  const double norm = norm_of(tensors);
  for (const at::Tensor& t : tensors) {
    if (t.defined() && limit > 0 && norm > limit) t.mul_(limit / (norm + 1e-6));
  }
  return norm;
}

TEST(ClipTest, ScalesAllTensorsTogetherAndReturnsTheNormBefore) {
  const GroupedTensors gradients{{{}, {at::full({4}, 3.0), at::Tensor(), at::full({4}, 4.0)}}};
  EXPECT_NEAR(clip(gradients, {.all = 1.0}).norm, 10.0, 1e-6);
  EXPECT_NEAR(norm_of(gradients[1]), 1.0, 1e-6);
}

TEST(ClipTest, LeavesSmallAndNonFiniteGradientsAlone) {
  const GroupedTensors small{{{}, {at::full({1}, 0.5)}}};
  clip(small, {.hici = 1.0, .all = 1.0});
  EXPECT_EQ(small[1][0].item<float>(), 0.5f);
  const at::Tensor infinite = at::full({1}, std::numeric_limits<float>::infinity()), two = at::full({1}, 2.0);
  EXPECT_FALSE(std::isfinite(clip({{{infinite}, {two}}}, {.hici = 1.0, .all = 1.0}).norm));
  EXPECT_EQ(two.item<float>(), 2.0f);
}

// Limits that clip both, one, the other, and none.
TEST(ClipTest, GroupThenAllIsTwoClippings) {
  for (const double scale : {1.0, 0.05, 0.0}) {
    for (const double limit : {0.5, 3.0, 0.0}) {
      const auto gradients = [&] {
        return GroupedTensors{{{at::full({4}, scale), at::Tensor()}, {at::full({9}, 0.3), at::full({2, 2}, -0.1)}}};
      };
      const GroupedTensors expected = gradients(), clipped = gradients();
      const double norm = clip_list(expected[0], 0.3);
      const double norm_of_all = clip_list({expected[0][0], expected[1][0], expected[1][1]}, limit);
      const Clipping got = clip(clipped, {.hici = 0.3, .all = limit});
      EXPECT_NEAR(got.hici_norm, norm, 1e-6);  // float32 norms of tensors
      EXPECT_NEAR(got.norm, norm_of_all, 1e-6);
      EXPECT_TRUE(at::allclose(clipped[0][0], expected[0][0], 1e-6, 0)) << scale << " " << limit;
      EXPECT_TRUE(at::allclose(clipped[1][0], expected[1][0], 1e-6, 0)) << scale << " " << limit;
      EXPECT_TRUE(at::allclose(clipped[1][1], expected[1][1], 1e-6, 0)) << scale << " " << limit;
    }
  }
}

// A model without HiCI modules has no group: LibTorch refuses an empty list.
TEST(ClipTest, AnEmptyGroupClipsTheRestAlone) {
  const at::Tensor rest = at::full({4}, 2.0, at::kDouble);
  const Clipping clipping = clip({{{}, {rest}}}, {.hici = 0.3, .all = 1.0});
  EXPECT_EQ(clipping.hici_norm, 0);
  EXPECT_NEAR(clipping.norm, 4.0, 1e-12);
  EXPECT_NEAR(rest[0].item<double>(), 0.5, 1e-6);
  EXPECT_EQ(clip({}, {.hici = 0.3, .all = 1.0}).norm, 0);
}

// As processes that hold a part of the gradients each will do it: squares added up in between, then all scale alike.
TEST(ClipTest, PartsOfTheGradientsAreClippedAsTheWhole) {
  const auto kDouble = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor hici = at::arange(6, kDouble), rest = at::arange(10, kDouble) - 4;
  const GroupedTensors whole{{{hici.clone()}, {rest.clone()}}};
  const ClipLimits limits{.hici = 0.3, .all = 1.0};
  const Clipping expected = clip(whole, limits);
  const GroupedTensors first{{{hici.narrow(0, 0, 2)}, {rest.narrow(0, 0, 7)}}},
      second{{{hici.narrow(0, 2, 4)}, {rest.narrow(0, 7, 3)}}};
  auto squares = squared_norms(first);
  const auto others = squared_norms(second);
  for (size_t group = 0; group < squares.size(); ++group) squares[group] += others[group];
  const Clipping clipping = clipping_of(squares, limits);
  for (const GroupedTensors* part : {&first, &second}) scale(*part, clipping.factors);
  EXPECT_NEAR(clipping.norm, expected.norm, 1e-12);
  EXPECT_NEAR(clipping.hici_norm, expected.hici_norm, 1e-12);
  EXPECT_TRUE(at::allclose(hici, whole[0][0], 1e-12, 0));
  EXPECT_TRUE(at::allclose(rest, whole[1][0], 1e-12, 0));
}

}  // namespace
}  // namespace hici::optim
