// SPDX-License-Identifier: Apache-2.0
// The state of one layer before a segment, of constant size: running sums over the slots of the previous segments for
// the statistics, and the slots of the last one. Reference: SlotState, add_slots(), state_statistics() of the
// reference. B batch, M local slots, C hidden
//
// A state is nn::LayerState, a list of tensors:
//   sums      [B, 4, C]  total, sum of squares, maximum, minimum; float32 (float64 in a float64 model). Only with a
//                        global integrator. One tensor, so that offloading a state takes few copies.
//   previous  [B, M, C]  in the model's dtype, as in the unstreamed step. Only in causal_shift, the one mode where a
//                        segment attends to the local slots of another.
// At C = 4096 and M = 8 that is 64 KiB a layer, and in causal_shift another 64 KiB in bfloat16.
#pragma once

#include "hici/config/hici_config.h"
#include "hici/nn/slot_provider.h"

namespace hici::hierarchy {

struct SlotState {
  at::Tensor sums_B4C;
  at::Tensor previous_BMC;
};

// The state before the first segment: sums 0, maximum -inf, minimum +inf; `previous` is 0 and never used.
// `options` are those of the model's parameters.
SlotState empty_slot_state(const config::HiciConfig& config, int64_t batch, int64_t hidden_size,
                           const at::TensorOptions& options);

// The state after one more segment's slots. Parts that are undefined in `before` stay undefined.
// Where a maximum or minimum is tied between segments, the later one gets the gradient, as in
// ops::statistics_up_to_each(); ties within a segment are the same operation in both. In bfloat16 ties do occur.
SlotState add_slots(const SlotState& before, const at::Tensor& slots_BMC);

// The five statistics [B, 5, C] over the `count` >= 1 slots in the sums.
at::Tensor statistics_of_state(const SlotState& state, int64_t count);

nn::LayerState to_list(const SlotState& state);
SlotState from_list(const config::HiciConfig& config, const nn::LayerState& list);

}  // namespace hici::hierarchy
