// SPDX-License-Identifier: Apache-2.0
// A forward pass over a sequence with the memory of one segment: its segments in turn, each given the state after the
// one before it. Without gradients; train/segment_streaming.h has them.
// B batch, T tokens, S tokens per segment, C hidden
#pragma once

#include "hici/nn/causal_lm.h"

#include <functional>

namespace hici::nn {

// Calls `on_segment(hidden_BSC, at)` for each segment of `tokens_BT` (on the model's device), which begins at column
// `at`. `options` has the S that divides T, a hierarchy where no segment needs a later one, and where its share is not
// whole the tokens are those segments of the sequence that this process takes one at a time (parallel/segment_cut.h).
void forward_by_segments(const CausalLm& model, const at::Tensor& tokens_BT, const ForwardOptions& options,
                         const std::function<void(const at::Tensor& hidden_BSC, int64_t at)>& on_segment);

}  // namespace hici::nn
