// SPDX-License-Identifier: Apache-2.0
// Activation recomputation: run a layer without keeping its activations, and run it again in the backward pass.
#pragma once

#include "hici/nn/offload.h"

#include <functional>

namespace hici::nn {

// layer(inputs), saving the inputs only. The backward pass runs the layer again with gradients; gradients of its
// parameters are added to their .grad, exactly as without recomputation. The layer must be a pure function of its
// inputs and parameters (dropout is: nn/dropout.h) with a fixed number of outputs. Inputs that need no gradient get
// none; outputs that the loss does not use cost nothing. Outside of gradient mode this is layer(inputs).
//
// With `offload` the inputs are offloaded to host memory (nn/offload.h) and the backward pass can run once. On a CPU
// they stay in place.
TensorList recompute(std::function<TensorList(const TensorList&)> layer, const TensorList& inputs,
                     ActivationOffloader* offload = nullptr);

}  // namespace hici::nn
