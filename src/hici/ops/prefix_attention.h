// SPDX-License-Identifier: Apache-2.0
// The slots' part of attention where the kernel over a segment's own tokens knows nothing of them (on the CPU): plain
// products, joined with the kernel's result by the log-sum-exp.
// G segments, S queries each, P slots seen by every query of their segment, H query heads over J heads of the slots
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

struct PrefixInputs {
  at::Tensor q_GSHD;  // contiguous
  at::Tensor k_GPJD, v_GPJD;
  double scale = 1;
};

// `out` (contiguous) and `lse`, those of the own tokens alone, become those of slots and tokens together. Returns what
// the backward wants: the weight of each slot, and last of all own tokens together, in the accumulation type.
at::Tensor join_prefix(const PrefixInputs& in, at::Tensor& out_GSHD, at::Tensor& lse_GHS);  // [G, H, P + 1, S]

struct PrefixGradients {
  at::Tensor k_GPJD, v_GPJD;
};

// Adds to `dq` (contiguous). `out` is that of slots and tokens together, dout its gradient, both contiguous.
PrefixGradients prefix_backward(const PrefixInputs& in, const at::Tensor& weight_GHXS, const at::Tensor& out_GSHD,
                                const at::Tensor& dout_GSHD, at::Tensor& dq_GSHD);

}  // namespace hici::ops
