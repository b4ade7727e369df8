// SPDX-License-Identifier: Apache-2.0
// RMSNorm over the last dimension, alone or behind a residual addition, with a hand-written backward.
// Reference: rms_norm() of the reference.
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

// y = weight * x / sqrt(mean(x^2) + eps). x [..., C], weight [C] of the same type. The mean is taken in float32
// (float64 for float64 input); saves x and one number a row.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

struct NormedSum {
  at::Tensor sum;     // x + delta
  at::Tensor normed;  // rms_norm(sum)
  at::Tensor beside;  // the same numbers for a second reader, whose gradient is added in the pass back
};

// A residual addition and the norm behind it in one pass; so is the way back, where the gradients of both results meet.
// Without a delta (undefined) sum is x itself.
NormedSum add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps);

}  // namespace hici::ops
