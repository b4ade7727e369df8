// SPDX-License-Identifier: Apache-2.0
// Streaming: gradients of a batch with the activations of one segment at a time, at any sequence length.
// Reference: streamed_gradients() of the reference. B batch, T tokens, N segments, S tokens per segment
//
// In the causal modes a segment depends on earlier segments only through a small state per layer (hierarchy/
// slot_state.h). Pass 1: forward of segments 1 to N - 1 without gradients; the state before each segment is stored.
// Pass 2, from the last segment to the first: forward with the state before the segment as leaves, then backward from
// the segment's part of the loss and from the gradient of the state after it. This is the chain rule of the unstreamed
// step with the additions in another order.
//
// Memory: one segment's activations (with recompute its layer inputs), N - 1 states, and the tokens and labels of the
// batch (16 bytes per token). On a GPU the states are always in pinned host memory. 4 million tokens of Llama-3-8B in
// segments of 8192 have 511 states of 2 MiB, 1 GiB in total. The two copies of a state take 40 us each over PCIe,
// queued on the model's stream; a segment takes a second. (LibTorch rounds pinned memory up to a power of two and keeps
// it for the next step.) The host never waits for the device; the loss stays on the device.
#pragma once

#include "hici/config/hici_config.h"
#include "hici/data/token_blocks.h"
#include "hici/nn/causal_lm.h"

#include <functional>

namespace hici::train {

enum class StreamPass { kStates, kGradients };

// Callbacks. Any may be empty.
struct StreamEvents {
  std::function<void()> on_gradients;  // a segment's backward is done: its share of all .grad is added
  std::function<void(StreamPass, int64_t done, int64_t total)> on_segment;
  std::function<bool()> should_stop = {};  // called before each segment; empty: stop signals of this process
};

// A usage error unless a model with this attention and hierarchy can be streamed.
void check_streamable(nn::AttentionKind attention, const config::HiciConfig& hici);

// Adds the same gradients to .grad as forward_hidden() and the backward of sum(loss) / targets_in_step, and returns
// that loss, a float64 scalar on the model's device. `forward` must be HiCI attention with a segment_length, and may
// have padding and policies. If StreamEvents asks to stop, it returns an undefined tensor, and the gradients are
// incomplete.
at::Tensor streamed_gradients(const nn::CausalLm& model, const nn::ForwardOptions& forward,
                              const data::TokenBatch& batch, int64_t targets_in_step, const StreamEvents& events);

}  // namespace hici::train
