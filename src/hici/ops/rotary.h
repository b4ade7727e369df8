// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding in the half-split layout, with a hand-written backward (the rotation's transpose).
// Reference: rope() of the reference.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace hici::ops {

// Tables [T, D/2] of cos and sin; float64 for a float64 model, else float32. Angles are computed in float64: at
// position 1,000,000 float32 has a spacing of 1/16, too coarse for an angle. T tokens, D head dim
struct RotaryTables {
  at::Tensor cos;
  at::Tensor sin;
};

// The source of a model's tables: inverse frequencies [D/2], float64, on the device of the tables, and the scale of
// both tables (yarn).
struct RotaryFrequencies {
  at::Tensor inverse;
  double scale = 1;
};

// Copies the frequencies to the device. Callers that make tables repeatedly (per segment) keep the result.
RotaryFrequencies make_rotary_frequencies(const std::vector<double>& inverse_frequencies, double scale,
                                          at::Device device);

// Angle of row t and column i: (first_position + t) * inverse_frequencies[i]. Computed on the device of the
// frequencies; does not synchronise.
RotaryTables make_rotary_tables(const RotaryFrequencies& frequencies, int64_t first_position, int64_t length,
                                at::ScalarType model_type);
// The same for arbitrary positions [T], of any number type, on the device of the frequencies.
RotaryTables make_rotary_tables(const RotaryFrequencies& frequencies, const at::Tensor& positions_T,
                                at::ScalarType model_type);
RotaryTables make_rotary_tables(const std::vector<double>& inverse_frequencies, double scale, int64_t first_position,
                                int64_t length, at::ScalarType model_type, at::Device device);

}  // namespace hici::ops
