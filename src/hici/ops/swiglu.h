// SPDX-License-Identifier: Apache-2.0
// SwiGLU. Hand-written backward; saves the two inputs only.
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

// silu(gate) * up, for gate and up of one shape and dtype.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

}  // namespace hici::ops
