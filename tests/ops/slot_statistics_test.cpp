// SPDX-License-Identifier: Apache-2.0
// B = 2 batch, N = 3 segments, M = 2 slots, C = 4 hidden. Golden tests tie the values to the reference.
#include "hici/ops/slot_statistics.h"

#include "support/gradcheck.h"

namespace hici::ops {
namespace {

using testing::check_gradients;
using testing::randn64;

TEST(SlotStatisticsTest, TheFiveAreThoseOfPlainTensorCode) {
  at::manual_seed(1);
  const at::Tensor slots = randn64({2, 3, 2, 4}), x = slots.flatten(1, 2), mean = x.mean(1);
  const at::Tensor expected = at::stack({mean, x.amax(1), x.amin(1), x.std(1, /*unbiased=*/false),
                                         mean / at::linalg_vector_norm(mean, 2, at::IntArrayRef{-1}, true)},
                                        1);
  EXPECT_TRUE(at::allclose(statistics_of_all(slots), expected, 1e-12, 1e-12));
}

TEST(SlotStatisticsTest, BackwardMatchesCentralDifferences) {
  at::manual_seed(2);
  check_gradients([](const std::vector<at::Tensor>& in) { return statistics_of_all(in[0]); }, {randn64({2, 3, 2, 4})});
  check_gradients([](const std::vector<at::Tensor>& in) { return statistics_up_to_each(in[0]); },
                  {randn64({2, 3, 2, 4})});
}

// Column 0 has equal slots, so its deviation is 0 and its maximum is tied. The mean of every column is 0 in batch 1, so
// the norm of the mean is below its floor.
TEST(SlotStatisticsTest, BelowTheirFloorsDeviationAndNormAreConstants) {
  at::manual_seed(3);
  at::Tensor slots = randn64({2, 3, 2, 4});
  slots.select(3, 0).fill_(0.5);
  slots[1].narrow(2, 1, 3).sub_(slots[1].narrow(2, 1, 3).mean(at::IntArrayRef{0, 1}, /*keepdim=*/true));
  slots[1].select(2, 0).fill_(0);
  const at::Tensor leaf = slots.clone().requires_grad_();
  const at::Tensor statistics = statistics_of_all(leaf);
  auto gradient_of = [&](int64_t which) {
    at::Tensor cotangent = at::zeros_like(statistics);
    cotangent.select(1, which).fill_(1);
    return torch::autograd::grad({statistics}, {leaf}, {cotangent}, /*retain_graph=*/true)[0];
  };
  EXPECT_EQ(gradient_of(3).select(3, 0).abs().max().item<double>(), 0);
  // A norm at its floor of 1e-6 is a factor of 1e6, over six slots.
  EXPECT_TRUE(at::allclose(gradient_of(4)[1], at::full_like(slots[1], 1e6 / 6), 1e-9));
  // The whole gradient of a tied maximum goes to one slot.
  EXPECT_EQ(gradient_of(1)[0].select(2, 0).ne(0).sum().item<int64_t>(), 1);
}

}  // namespace
}  // namespace hici::ops
