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

// The same from running sums, for slots that arrive segment by segment: total, sum of squares, maximum and minimum over
// `count` slots, each [..., C] in float32 or float64 -> [..., 5, C]. `count` broadcasts.
struct SlotSums {
  at::Tensor total, squares, max, min;
};
at::Tensor statistics_of_sums(const SlotSums& sums, const at::Tensor& count);

// Slots in the dtype of the statistics: float32, or float64 for float64.
at::Tensor to_accumulation_dtype(const at::Tensor& slots);

}  // namespace hici::ops
