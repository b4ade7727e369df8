// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rotary.h"

#include "hici/ops/types.h"

#include <ATen/ATen.h>

namespace hici::ops {
RotaryFrequencies make_rotary_frequencies(const std::vector<double>& inverse_frequencies, double scale,
                                          at::Device device) {
  return {at::tensor(inverse_frequencies, at::TensorOptions().dtype(at::kDouble)).to(device), scale};
}

RotaryTables make_rotary_tables(const RotaryFrequencies& frequencies, int64_t first_position, int64_t length,
                                at::ScalarType model_type) {
  return make_rotary_tables(
      frequencies, at::arange(first_position, first_position + length, frequencies.inverse.options()), model_type);
}

RotaryTables make_rotary_tables(const RotaryFrequencies& frequencies, const at::Tensor& positions_T,
                                at::ScalarType model_type) {
  const at::Tensor angles = at::outer(positions_T.to(at::kDouble), frequencies.inverse);
  const auto type = accumulation_type(model_type);
  return {(angles.cos() * frequencies.scale).to(type), (angles.sin() * frequencies.scale).to(type)};
}

RotaryTables make_rotary_tables(const std::vector<double>& inverse_frequencies, double scale, int64_t first_position,
                                int64_t length, at::ScalarType model_type, at::Device device) {
  return make_rotary_tables(make_rotary_frequencies(inverse_frequencies, scale, device), first_position, length,
                            model_type);
}

}  // namespace hici::ops
