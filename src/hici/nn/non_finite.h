// SPDX-License-Identifier: Apache-2.0
// What to say where a result of a model is nan or infinite.
#pragma once

#include "hici/nn/causal_lm.h"

#include <string>

namespace hici::nn {

// Throws hici::Error that names the first tensor with a value that is not finite, its file, and `what` ("the loss of
// step 1"), which is not finite for that reason. Returns when all weights are finite. Takes a pass over all weights.
void check_weights_are_finite(const CausalLm& model, const std::string& what);

// Throws hici::Error about `what` ("the loss of window 3"), which is not finite. Looks through the weights first: the
// first tensor that holds a value that is not finite is named with its file. Takes a pass over all weights.
[[noreturn]] void fail_not_finite(const CausalLm& model, const std::string& what);

}  // namespace hici::nn
