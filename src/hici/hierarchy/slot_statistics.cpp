// SPDX-License-Identifier: Apache-2.0
#include "hici/hierarchy/slot_statistics.h"

#include "hici/ops/types.h"

#include <ATen/ATen.h>

namespace hici::hierarchy {
namespace {

constexpr double kNormFloor = 1e-6;

at::Tensor unit_norm(const at::Tensor& x) {
  return x / at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, /*keepdim=*/true).clamp_min(kNormFloor);
}

}  // namespace

at::Tensor widen_slots(const at::Tensor& slots) { return slots.to(ops::accumulation_type(slots.scalar_type())); }

at::Tensor statistics_of_all(const at::Tensor& slots_BNMC) {
  const at::Tensor flat = widen_slots(slots_BNMC).flatten(1, 2);
  const at::Tensor mean = flat.mean(1);
  const at::Tensor deviation = at::std(flat, at::IntArrayRef{1}, /*unbiased=*/false).clamp_min(1e-6);
  return at::stack({mean, std::get<0>(flat.max(1)), std::get<0>(flat.min(1)), deviation, unit_norm(mean)}, 1);
}

at::Tensor statistics_up_to_each(const at::Tensor& slots_BNMC) {
  const at::Tensor slots = widen_slots(slots_BNMC);
  const int64_t segments = slots.size(1), per_segment = slots.size(2);
  const at::Tensor count = at::arange(1, segments + 1, slots.options()).mul_(per_segment).view({1, -1, 1});
  return statistics_of_sums(
      {slots.sum(2).cumsum(1), slots.pow(2).sum(2).cumsum(1), std::get<0>(std::get<0>(slots.max(2)).cummax(1)),
       std::get<0>(std::get<0>(slots.min(2)).cummin(1))},
      count);
}

at::Tensor statistics_of_sums(const SlotSums& sums, const at::Tensor& count) {
  const at::Tensor mean = sums.total / count;
  const at::Tensor variance = (sums.squares / count - mean.pow(2)).clamp_min(1e-12);
  return at::stack({mean, sums.top, sums.low, variance.sqrt(), unit_norm(mean)}, -2);
}

}  // namespace hici::hierarchy
