// SPDX-License-Identifier: Apache-2.0
// Activation recomputation: run a layer without keeping its activations, and run it again in the backward pass.
#pragma once

#include "hici/nn/module.h"

#include <functional>

namespace hici::nn {

// layer(inputs), keeping the inputs alone. In the backward pass the layer runs once more with gradients; gradients of
// the parameters that it uses are added to their .grad, exactly as without recomputation. The layer must be a pure
// function of its inputs and parameters (no dropout) and give as many outputs each time. Inputs that need no gradient
// get none; outputs that the loss does not use cost nothing. Outside of gradient mode this is layer(inputs).
TensorList recompute(std::function<TensorList(const TensorList&)> layer, const TensorList& inputs);

}  // namespace hici::nn
