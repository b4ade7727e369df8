// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rotary.h"

#include "hici/ops/types.h"

#include <ATen/ATen.h>

namespace hici::ops {
RotaryTables make_rotary_tables(const std::vector<double>& inverse_frequencies, double scale, int64_t first_position,
                                int64_t length, at::ScalarType model_type, at::Device device) {
  const auto wide = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor frequencies = at::tensor(inverse_frequencies, wide);
  const at::Tensor angles = at::outer(at::arange(first_position, first_position + length, wide), frequencies);
  const auto target = at::TensorOptions().dtype(accumulation_type(model_type)).device(device);
  return {(angles.cos() * scale).to(target), (angles.sin() * scale).to(target)};
}

}  // namespace hici::ops
