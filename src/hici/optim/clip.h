// SPDX-License-Identifier: Apache-2.0
// Gradient norms and clipping: the norm of the HiCI gradients to a limit of its own, then that of all gradients.
//
// In three steps, so that processes which hold parts of the gradients can add up their squares in between and scale
// alike: squared norms of the groups, factors, scaling.
#pragma once

#include "hici/optim/parameter_groups.h"

#include <array>

namespace hici::optim {

// The sum of the squares of all elements of each group, indexed by GroupKind; undefined tensors count as zero. Waits
// for the device once.
std::array<double, kNumGroups> squared_norms(const GroupedTensors& gradients);

// Limits of Euclidean norms; 0: none.
struct ClipLimits {
  double hici = 0;
  double all = 0;
};

struct Clipping {
  double hici_norm = 0;                                 // before clipping
  double norm = 0;                                      // of both groups, the HiCI gradients clipped and the rest not
  std::array<double, kNumGroups> factors = {1.0, 1.0};  // what each group is multiplied by
};

// Where a norm is above its limit, the factor is limit / (norm + 1e-6). A norm that is not finite gives the factor 1:
// the caller decides.
Clipping clipping_of(const std::array<double, kNumGroups>& squares, const ClipLimits& limits);

// Multiplies each group by its factor.
void scale(const GroupedTensors& gradients, const std::array<double, kNumGroups>& factors);

// The three steps for a process that holds all gradients.
Clipping clip(const GroupedTensors& gradients, const ClipLimits& limits);

}  // namespace hici::optim
