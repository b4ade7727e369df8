// SPDX-License-Identifier: Apache-2.0
// What to say where a result of a model is nan or infinite.
#pragma once

#include "hici/nn/causal_lm.h"

#include <string>

namespace hici::nn {

// Throws hici::Error about `what` ("the loss of window 3"), which is not finite. Looks through the weights first: the
// first tensor that holds a value that is not finite is named with its file. Takes a pass over all weights.
[[noreturn]] void fail_not_finite(const CausalLm& model, const std::string& what);

}  // namespace hici::nn
