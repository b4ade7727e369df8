// SPDX-License-Identifier: Apache-2.0
// Gradients of a batch with the activations of one segment at a time, whatever the length of the sequences.
// Reference: streamed_gradients() of the reference. B batch, T tokens, N segments, S tokens per segment
//
// In the causal modes a segment depends on the ones before it only through a small state for each layer (hierarchy/
// slot_state.h). First pass: segments 1 to N - 1 forwards without gradients, keeping the state before each segment.
// Second pass: from the last segment to the first, each one forwards again with the state before it as leaves, then
// backwards from its part of the loss and from what the segment after it has found for the state between them. That is
// the chain rule of the unstreamed step, with the additions in another order.
//
// What is held: one segment's activations (with recomputation its layer inputs), N - 1 states, and tokens and labels of
// the batch (16 bytes a token). On a GPU the states wait in pinned host memory, always: 4 million tokens of Llama-3-8B
// in segments of 8192 make 511 states of 2 MiB, 1 GiB that the card has better use for, while the two copies of a
// state (40 us each over PCIe, queued like kernels on the stream of the model) are lost in the second that a segment
// takes. (LibTorch rounds pinned memory up to a power of two and keeps it for the next step.) The host waits for the
// device nowhere; the loss stays there.
#pragma once

#include "hici/config/hici_config.h"
#include "hici/data/token_blocks.h"
#include "hici/nn/causal_lm.h"

#include <functional>

namespace hici::train {

enum class StreamPass { kStates, kGradients };

// What the caller is told after each segment. Any may be empty.
struct StreamEvents {
  std::function<void()> on_gradients;  // a segment's backward is done: its share of all .grad is added
  std::function<void(StreamPass, int64_t done, int64_t total)> on_segment;
  std::function<bool()> should_stop =
      {};  // asked before each segment; empty: whether a stop signal came to this process
};

// A usage error unless a model with this attention and hierarchy can be streamed.
void check_streamable(nn::AttentionKind attention, const config::HiciConfig& hici);

// Adds to .grad what forward_hidden() and backward of sum(loss) / targets_in_step add, and returns that loss, a float64
// scalar on the model's device. Of `forward`, HiCI attention with its segment_length, padding and policies are meant.
// Undefined when it was to stop, with gradients half made.
at::Tensor streamed_gradients(const nn::CausalLm& model, const nn::ForwardOptions& forward,
                              const data::TokenBatch& batch, int64_t targets_in_step, const StreamEvents& events);

}  // namespace hici::train
