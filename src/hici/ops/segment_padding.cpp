// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_padding.h"

#include <ATen/ATen.h>

namespace hici::ops {

int64_t PaddedSegments::row_size() const { return c10::multiply_integers(tensor.sizes().slice(2)); }

bool PaddedSegments::has_prefix_rows(int64_t rows) const {
  return leading_rows >= rows && (tensor.size(0) == 1 || row_gap == rows);
}

at::Tensor PaddedSegments::with_prefix_rows(int64_t rows) const {
  std::vector<int64_t> sizes = tensor.sizes().vec(), strides = tensor.strides().vec();
  sizes[1] += rows;
  strides[0] = sizes[1] * row_size();
  strides[1] = row_size();
  return tensor.as_strided(sizes, strides, tensor.storage_offset() - rows * row_size());
}

std::optional<PaddedSegments> as_padded_segments(const at::Tensor& t) {
  if (!t.select(0, 0).is_contiguous()) return std::nullopt;
  PaddedSegments segments{t};
  const int64_t row = segments.row_size();
  if (row == 0) return segments;
  segments.leading_rows = t.storage_offset() / row;
  if (t.size(0) > 1) {
    if (t.stride(0) % row != 0) return std::nullopt;
    segments.row_gap = t.stride(0) / row - t.size(1);
  }
  return segments;
}

at::Tensor empty_with_leading_rows(at::IntArrayRef sizes, int64_t rows, const at::TensorOptions& options) {
  const int64_t row = c10::multiply_integers(sizes.slice(2)), count = c10::multiply_integers(sizes);
  if (rows == 0) return at::empty(sizes, options);
  const at::Tensor buffer = at::empty({rows * row + count}, options);
  buffer.narrow(0, 0, rows * row).zero_();
  return buffer.narrow(0, rows * row, count).view(sizes);
}

}  // namespace hici::ops
