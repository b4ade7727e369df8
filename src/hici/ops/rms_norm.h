// SPDX-License-Identifier: Apache-2.0
// RMSNorm over the last dimension, alone or fused with the residual addition before it. Hand-written backward.
// Reference: rms_norm() of the reference.
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

// y = weight * x / sqrt(mean(x^2) + eps). x [..., C], weight [C] of the same dtype. The mean is in float32 (float64 for
// float64). Saves x and one number per row.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

struct NormedSum {
  at::Tensor sum;               // x + delta
  at::Tensor normed;            // rms_norm(sum)
  at::Tensor normed_for_slots;  // alias of `normed` for a second consumer; this op's backward sums both gradients
};

// Residual addition and norm in one pass. The backward is one pass too: it adds the gradient of `sum` to that of the
// norm. An undefined delta means sum = x.
NormedSum add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps);

}  // namespace hici::ops
