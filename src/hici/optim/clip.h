// SPDX-License-Identifier: Apache-2.0
// Gradient norms and clipping: first the norm of the HiCI gradients to its own limit, then the norm of all gradients.
//
// There are three steps: squared norms of the groups, factors, scaling. Processes that hold parts of the gradients can
// add their squares between the first two and then scale by the same factors.
#pragma once

#include "hici/optim/parameter_groups.h"

#include <array>
#include <functional>

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
  double norm = 0;                                      // of both groups, after clipping of the HiCI gradients
  std::array<double, kNumGroups> factors = {1.0, 1.0};  // per group
};

// For a norm above its limit the factor is limit / (norm + 1e-6). For a non-finite norm it is 1; the caller must handle
// that case.
Clipping clipping_of(const std::array<double, kNumGroups>& squares, const ClipLimits& limits);

// Multiplies each group by its factor.
void scale(const GroupedTensors& gradients, const std::array<double, kNumGroups>& factors);

// All three steps. `over_processes` gives the squares of all processes for this one's, where each holds a part of the
// gradients; empty: this process holds them all.
using Squares = std::array<double, kNumGroups>;
Clipping clip(const GroupedTensors& gradients, const ClipLimits& limits,
              const std::function<Squares(const Squares& own)>& over_processes = {});

}  // namespace hici::optim
