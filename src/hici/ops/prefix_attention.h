// SPDX-License-Identifier: Apache-2.0
// Attention to a separate prefix of slots, merged by log-sum-exp (LSE) with a kernel's result over the tokens. Used on
// the CPU, whose FlashAttention supports no prefix.
// G segments, S queries each, P slots visible to every query of their segment, E = P + 1, H query heads, J kv heads
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

struct PrefixInputs {
  at::Tensor q_GSHD;  // contiguous
  at::Tensor k_GPJD, v_GPJD;
  double scale = 1;
};

// In: `out` (contiguous) and `lse` of attention over the tokens. Out: both over slots and tokens. Returns the weights
// [G, H, E, S] for the backward, in the accumulation dtype: one per slot, and the last one for all tokens together.
at::Tensor merge_prefix(const PrefixInputs& in, at::Tensor& out_GSHD, at::Tensor& lse_GHS);

struct PrefixGradients {
  at::Tensor k_GPJD, v_GPJD;
};

// Adds to `dq` (contiguous). `out` is the merged output and `dout` its gradient, both contiguous.
PrefixGradients prefix_backward(const PrefixInputs& in, const at::Tensor& weight_GHES, const at::Tensor& out_GSHD,
                                const at::Tensor& dout_GSHD, at::Tensor& dq_GSHD);

}  // namespace hici::ops
