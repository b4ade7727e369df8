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

struct GroupedNorms {
  double group = 0;
  double all = 0;  // of both, the group clipped and the rest not
};

// clip_to_norm() of `group`, then of both together: the same numbers, but that each tensor is read once for its norm
// and scaled at most once.
GroupedNorms clip_group_then_all(const std::vector<at::Tensor>& group, double group_limit,
                                 const std::vector<at::Tensor>& rest, double limit);

}  // namespace hici::optim
