// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding in the half-split layout, with a hand-written backward (the rotation's transpose).
// Reference: rope() of the reference.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace hici::ops {

// Tables [T, D/2] of cos and sin; float64 for a float64 model, else float32. Angles are computed in float64, so that
// positions in the millions keep their last bits.
struct RotaryTables {
  at::Tensor cos;
  at::Tensor sin;
};

// Angle of row t and column i: (first_position + t) * inverse_frequencies[i]; both tables times `scale` (yarn).
RotaryTables make_rotary_tables(const std::vector<double>& inverse_frequencies, double scale, int64_t first_position,
                                int64_t length, at::ScalarType model_type, at::Device device);

}  // namespace hici::ops
