// SPDX-License-Identifier: Apache-2.0
// Activation recomputation: run a layer without keeping its activations, and run it again in the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace hici::nn {

// layer(x), keeping x alone. In the backward pass layer(x) runs once more with gradients; gradients of the parameters
// that it uses are added to their .grad, exactly as without recomputation. The layer must be a pure function of x and
// parameters (no dropout). Outside of gradient mode this is layer(x).
at::Tensor recompute(std::function<at::Tensor(const at::Tensor&)> layer, const at::Tensor& x);

}  // namespace hici::nn
