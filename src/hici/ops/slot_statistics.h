// SPDX-License-Identifier: Apache-2.0
// The five statistics that summarise local slots: mean, maximum, minimum, standard deviation, unit-norm mean. They are
// computed in float32 (float64 for float64). Paper section 3.2; statistics_all() and statistics_cumulative() of the
// reference.
// B batch, N segments, M local slots, C hidden
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

inline constexpr int64_t kNumStatistics = 5;

// Over all N * M slots: [B, N, M, C] -> [B, 5, C]. Hand-written backward; a tied extreme gives its gradient to one
// slot.
at::Tensor statistics_of_all(const at::Tensor& slots_BNMC);

// Over the slots of segments 1..i, for every i: [B, N, M, C] -> [B, N, 5, C]. The variance is E[x^2] - E[x]^2, floored
// at 1e-12.
at::Tensor statistics_up_to_each(const at::Tensor& slots_BNMC);

// For slots that come segment by segment: running sums over them, four rows each: total, sum of squares, maximum,
// minimum. On a GPU each of these functions is one kernel, and one for its backward.

// What M slots add to the sums: [G, M, C] -> [G, 4, C]. A tied extreme gives its gradient to one slot.
at::Tensor sums_of_slots(const at::Tensor& slots_GMC);

// Of n segments that add sums_Bn4C to before_B4C: the sums before any of them (row 0), and after each (rows 1 to n).
// Where an extreme is tied between segments, the later one gets the gradient.
struct RunningSums {
  at::Tensor at_row_B4C, last_B4C;
};
RunningSums running_sums(const at::Tensor& before_B4C, const at::Tensor& sums_Bn4C, int64_t row);

// The five statistics from running sums: [R, 4, C] -> [R, 5, C]. Row r has the sums over first + step * (r mod period)
// slots.
struct SlotCounts {
  int64_t first = 1, step = 0, period = 1;
};
at::Tensor statistics_of_sums(const at::Tensor& sums_R4C, const SlotCounts& counts);

// Slots in the dtype of the statistics: float32, or float64 for float64.
at::Tensor to_accumulation_dtype(const at::Tensor& slots);

}  // namespace hici::ops
