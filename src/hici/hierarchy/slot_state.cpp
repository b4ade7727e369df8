// SPDX-License-Identifier: Apache-2.0
#include "hici/hierarchy/slot_state.h"

#include "hici/base/error.h"
#include "hici/ops/slot_statistics.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>

#include <limits>

namespace hici::hierarchy {
namespace {

// Not at::maximum: its backward shares a tie between both sides.
at::Tensor max_prefer_later(const at::Tensor& later, const at::Tensor& earlier) {
  return at::where(later.ge(earlier), later, earlier);
}

at::Tensor min_prefer_later(const at::Tensor& later, const at::Tensor& earlier) {
  return at::where(later.le(earlier), later, earlier);
}

}  // namespace

SlotState empty_slot_state(const config::HiciConfig& config, int64_t batch, int64_t hidden_size,
                           const at::TensorOptions& options) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  SlotState state;
  if (config.use_global_integrator) {
    const auto accumulation_dtype = ops::accumulation_type(c10::typeMetaToScalarType(options.dtype()));
    state.sums_B4C = at::zeros({batch, 4, hidden_size}, options.dtype(accumulation_dtype));
    state.sums_B4C.select(1, 2).fill_(-kInfinity);
    state.sums_B4C.select(1, 3).fill_(kInfinity);
  }
  if (config.remembers_previous())
    state.previous_BMC = at::zeros({batch, config.num_local_slots, hidden_size}, options);
  return state;
}

at::Tensor sums_of_slots(const at::Tensor& slots_BMC) {
  const at::Tensor slots = ops::to_accumulation_dtype(slots_BMC);
  return at::stack({slots.sum(1), slots.pow(2).sum(1), std::get<0>(slots.max(1)), std::get<0>(slots.min(1))}, 1);
}

SlotState add_slots(const SlotState& before, const at::Tensor& slots_BMC) {
  SlotState after;
  if (before.sums_B4C.defined()) {
    const std::vector<at::Tensor> sums = before.sums_B4C.unbind(1), own = sums_of_slots(slots_BMC).unbind(1);
    after.sums_B4C = at::stack(
        {sums[0] + own[0], sums[1] + own[1], max_prefer_later(own[2], sums[2]), min_prefer_later(own[3], sums[3])}, 1);
  }
  if (before.previous_BMC.defined()) after.previous_BMC = slots_BMC;
  return after;
}

at::Tensor running_sums(const at::Tensor& before_B4C, const at::Tensor& sums_Bn4C) {
  const at::Tensor all = at::cat({before_B4C.unsqueeze(1), sums_Bn4C}, 1);
  const at::Tensor added = all.narrow(2, 0, 2).cumsum(1);
  const at::Tensor max = std::get<0>(all.narrow(2, 2, 1).cummax(1)), min = std::get<0>(all.narrow(2, 3, 1).cummin(1));
  return at::cat({added, max, min}, 2);
}

at::Tensor statistics_of_state(const SlotState& state, int64_t count) {
  const std::vector<at::Tensor> sums = state.sums_B4C.unbind(1);
  return ops::statistics_of_sums({sums[0], sums[1], sums[2], sums[3]}, at::full({1}, count, state.sums_B4C.options()));
}

nn::LayerState to_list(const SlotState& state) {
  nn::LayerState list;
  for (const at::Tensor* part : {&state.sums_B4C, &state.previous_BMC}) {
    if (part->defined()) list.push_back(*part);
  }
  return list;
}

SlotState from_list(const config::HiciConfig& config, const nn::LayerState& list) {
  const size_t num_sums = config.use_global_integrator ? 1 : 0, num_previous = config.remembers_previous() ? 1 : 0;
  HICI_ASSERT(list.size() == num_sums + num_previous, "a state of ", list.size(), " tensors");
  SlotState state;
  if (num_sums > 0) state.sums_B4C = list.front();
  if (num_previous > 0) state.previous_BMC = list.back();
  return state;
}

}  // namespace hici::hierarchy
