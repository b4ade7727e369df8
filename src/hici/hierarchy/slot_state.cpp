// SPDX-License-Identifier: Apache-2.0
#include "hici/hierarchy/slot_state.h"

#include "hici/base/error.h"
#include "hici/ops/slot_statistics.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>

#include <limits>

namespace hici::hierarchy {

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

SlotState add_slots(const SlotState& before, const at::Tensor& slots_BMC) {
  SlotState after;
  if (before.sums_B4C.defined())
    after.sums_B4C = ops::running_sums(before.sums_B4C, ops::sums_of_slots(slots_BMC).unsqueeze(1), 1).last_B4C;
  if (before.previous_BMC.defined()) after.previous_BMC = slots_BMC;
  return after;
}

at::Tensor statistics_of_state(const SlotState& state, int64_t count) {
  return ops::statistics_of_sums(state.sums_B4C, {.first = count});
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
