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

TEST(SlotStatisticsTest, RunningSumsAreThoseOfAllSlotsSoFar) {
  at::manual_seed(4);
  const at::Tensor first = randn64({2, 2, 4}), later = randn64({2, 3, 2, 4});
  const at::Tensor later_sums = sums_of_slots(later.flatten(0, 1)).unflatten(0, {2, 3});
  for (const int64_t row : {0, 1, 3}) {
    SCOPED_TRACE(row);
    const at::Tensor seen = at::cat({first, later.narrow(1, 0, row).flatten(1, 2)}, 1);
    const RunningSums running = running_sums(sums_of_slots(first), later_sums, row);
    EXPECT_TRUE(at::allclose(running.at_row_B4C, sums_of_slots(seen), 1e-12, 1e-12));
    EXPECT_TRUE(at::allclose(running.last_B4C, sums_of_slots(at::cat({first, later.flatten(1, 2)}, 1)), 1e-12, 1e-12));
    // Two batches are two rows of as many slots each.
    EXPECT_TRUE(at::allclose(statistics_of_sums(running.at_row_B4C, {.first = seen.size(1)}),
                             statistics_of_all(seen.unsqueeze(1)), 1e-10, 1e-10));
    check_gradients(
        [&](const std::vector<at::Tensor>& in) {
          const at::Tensor sums = sums_of_slots(in[1].flatten(0, 1)).unflatten(0, {2, 3});
          const RunningSums at = running_sums(sums_of_slots(in[0]), sums, row);
          return at::cat({statistics_of_sums(at.at_row_B4C, {.first = 2 + 2 * row}), at.last_B4C}, 1);
        },
        {first, later});
  }
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
