// SPDX-License-Identifier: Apache-2.0
// HiCI: causal attention inside each segment, over [global slots, local slots, own tokens]. The slots are those of a
// SlotProvider. Reference: hici_attention() of the reference.
#pragma once

#include "hici/nn/attention/segments.h"
#include "hici/nn/attention_observer.h"
#include "hici/nn/kv_cache.h"

namespace hici::nn {

struct HierarchicalInputs : SegmentInputs {
  AttentionObserver* observer = nullptr;  // may be null
  int64_t layer = 0;                      // its number, for the observer
  parallel::SegmentShare share = {};      // which segments of the sequence the tokens are
};

// `x_for_slots`: alias of x for the slots (ops::NormedSum::normed_for_slots).
at::Tensor attend_hierarchical(const AttentionProjections& projections, SlotProvider& hierarchy,
                               const at::Tensor& x_BTC, const at::Tensor& x_for_slots, const CommonInputs& common,
                               const HierarchicalInputs& in);

// The heads of one segment's tokens, and the layer's state after it.
struct AttendedSegment {
  at::Tensor heads;
  LayerState after;
};

// Number `segment` (from 0) of a sequence, given the state before it: the T = S tokens of x are that segment. Processes
// that share a sequence take neighbouring segments at a time; the state before and after is that of all of these.
AttendedSegment attend_one_segment(const AttentionProjections& projections, SlotProvider& hierarchy,
                                   const at::Tensor& x_BSC, const CommonInputs& common, int64_t segment,
                                   const LayerState& before, const parallel::SegmentShare& share);

// Prefill: x_1TC is a whole prompt and one segment. Keys and values of its slots to the first rows of the cache.
void write_slots(const AttentionProjections& projections, SlotProvider& hierarchy, const at::Tensor& x_1TC,
                 const LayerCache& cache);

}  // namespace hici::nn
