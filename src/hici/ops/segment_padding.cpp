// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_padding.h"

#include <ATen/ATen.h>

namespace hici::ops {

at::Tensor empty_with_leading_rows(at::IntArrayRef sizes, int64_t rows, const at::TensorOptions& options) {
  const int64_t row = c10::multiply_integers(sizes.slice(2)), count = c10::multiply_integers(sizes);
  if (rows == 0) return at::empty(sizes, options);
  const at::Tensor buffer = at::empty({rows * row + count}, options);
  buffer.narrow(0, 0, rows * row).zero_();
  return buffer.narrow(0, rows * row, count).view(sizes);
}

bool has_leading_rows(const at::Tensor& t, int64_t rows) {
  return t.select(0, 0).is_contiguous() && t.storage_offset() >= rows * c10::multiply_integers(t.sizes().slice(2));
}

int64_t row_gap(const at::Tensor& t) {
  return t.size(0) == 1 ? 0 : t.stride(0) / c10::multiply_integers(t.sizes().slice(2)) - t.size(1);
}

}  // namespace hici::ops
