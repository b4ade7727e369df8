// SPDX-License-Identifier: Apache-2.0
// Access to the inputs of attention, for the analysis of a model. The forward that is analysed is the model's own.
// B batch, N segments, G = B * N, S tokens per segment, P prefix slots
#pragma once

#include "hici/ops/attention_heads.h"

namespace hici::nn {

// HiCI attention of one layer, just before it is computed.
struct AttentionView {
  int64_t layer = 0;
  const ops::AttentionHeads& heads;      // normed and rotated; the P slots are the first keys, or a separate prefix
  int64_t batch = 0;                     // B: the G segments are ordered by sequence
  int64_t num_slots = 0;                 // P
  int64_t num_global_slots = 0;          // the first of them; the others are local
  bool first_segment_has_prefix = true;  // false: the first segment of each sequence attends to its tokens only
  const at::Tensor& valid_BT;            // bool; undefined: every token counts
};

class AttentionObserver {
 public:
  virtual ~AttentionObserver() = default;
  // Called by every layer in turn, without gradients being kept of what is done here. Must not change the tensors.
  virtual void see(const AttentionView& view) = 0;
};

}  // namespace hici::nn
