// SPDX-License-Identifier: Apache-2.0
// Activation recomputation: run a layer without keeping its activations, and run it again in the backward pass.
#pragma once

#include "hici/nn/offload.h"

#include <functional>

namespace hici::nn {

// layer(inputs), keeping the inputs alone. In the backward pass the layer runs once more with gradients; gradients of
// the parameters that it uses are added to their .grad, exactly as without recomputation. The layer must be a pure
// function of its inputs and parameters (no dropout) and give as many outputs each time. Inputs that need no gradient
// get none; outputs that the loss does not use cost nothing. Outside of gradient mode this is layer(inputs).
//
// With `offload` the inputs wait in host memory (nn/offload.h) and the backward pass can be done once; on a CPU they
// stay where they are.
TensorList recompute(std::function<TensorList(const TensorList&)> layer, const TensorList& inputs,
                     ActivationOffloader* offload = nullptr);

}  // namespace hici::nn
