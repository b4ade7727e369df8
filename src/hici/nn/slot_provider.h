// SPDX-License-Identifier: Apache-2.0
// The interface between an attention layer and the hierarchy: the prefix slots of each segment. hierarchy/ implements
// it; nn/ knows nothing else of HiCI.
#pragma once

#include "hici/config/lora_config.h"
#include "hici/nn/module.h"
#include "hici/parallel/segment_share.h"

#include <string>
#include <vector>

namespace hici::nn {

// B batch, N segments, P slots before each segment, C hidden.
struct PrefixSlots {
  at::Tensor slots_BNPC;  // undefined: no slots
  bool first_segment_has_prefix =
      true;                // false in the shifted modes: segment 1 of a sequence attends to its tokens only
  int64_t num_global = 0;  // the first num_global of the P slots are global, the others local

  bool any() const { return slots_BNPC.defined(); }
};

// The state of one layer between segments: tensors that only the provider interprets. Their number and shapes do not
// depend on the number of segments. Empty for a provider without state.
using LayerState = TensorList;

// The slots before one segment, [B, 1, P, C], and the state after it.
struct SegmentSlots {
  PrefixSlots prefix;
  LayerState after;
  TensorList unread;  // for parallel::keep_in_graph()
};

class SlotProvider {
 public:
  virtual ~SlotProvider() = default;

  // Computes what depends on weights only, for one of the calls below: it can run before their input is ready.
  virtual TensorList prepare() const = 0;

  // x_BTC: the layer's normed input, T a multiple of segment_length. valid_BT: bool, or undefined for no padding.
  // `share`: which segments of a sequence that several processes share x is.
  virtual PrefixSlots make_slots(const at::Tensor& x_BTC, const at::Tensor& valid_BT, int64_t segment_length,
                                 const TensorList& prepared, const parallel::SegmentShare& share) = 0;

  // The same for one segment: number `segment` (from 0) of a sequence, given the state after the previous one;
  // differentiable in both. Only for hierarchies where no segment needs a later one.
  virtual LayerState empty_state(int64_t batch) const = 0;
  virtual SegmentSlots make_segment_slots(const at::Tensor& x_BSC, const at::Tensor& valid_BS, int64_t segment,
                                          const LayerState& before, const TensorList& prepared,
                                          const parallel::SegmentShare& share) = 0;

  // P of make_slots(); 0 without slots.
  virtual int64_t num_slots() const = 0;
  // Slots in the prefix of a sequence's first segment, 0 or P. A KV cache has rows for them when the whole sequence is
  // one segment.
  virtual int64_t num_slots_of_first_segment() const = 0;

  virtual void visit_parameters(const std::string& prefix, const ParameterVisitor& visit) = 0;
  // Attaches adapters to those of the provider's own projections that `lora` adapts.
  virtual void add_lora(const std::string& prefix, const config::LoraConfig& lora) = 0;
};

}  // namespace hici::nn
