// SPDX-License-Identifier: Apache-2.0
// Gradient norms and clipping.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace hici::optim {

// Euclidean norm over all tensors together; undefined ones count as zero.
double global_norm(const std::vector<at::Tensor>& gradients);

// Scales all tensors by limit / (norm + 1e-6) when their norm is above `limit`; a limit of 0 switches clipping off.
// Returns the norm before clipping. A norm that is not finite changes nothing: the caller decides.
double clip_to_norm(const std::vector<at::Tensor>& gradients, double limit);

}  // namespace hici::optim
