// SPDX-License-Identifier: Apache-2.0
// silu(gate) * up with a hand-written backward that keeps nothing but its two inputs.
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

// gate and up of one shape and type -> silu(gate) * up.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

}  // namespace hici::ops
