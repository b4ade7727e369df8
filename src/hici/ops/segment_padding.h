// SPDX-License-Identifier: Apache-2.0
// Padding rows around the segments of a tensor, in memory that exists anyway. Attention of S queries over P prefix
// slots and S tokens becomes a square problem with P padding queries per segment. Their log-sum-exp is +inf, hence
// weight 0 and no gradient. Their contents do not matter as long as they are finite: segment g > 0 uses the last P rows
// of segment g - 1 and segment 0 uses P rows of zeros. Nothing is copied. G segments, S rows per segment; a row is all
// dimensions but the first two
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace hici::ops {

// Segments with the padding rows that their memory has. Autograd passes plain tensors, so an op recovers this at its
// border with as_padded_segments(), and states there what it needs.
struct PaddedSegments {
  at::Tensor tensor;         // [G, S, ...]; each segment is contiguous
  int64_t leading_rows = 0;  // rows before segment 0 in the storage; finite in every tensor that an op returns
  int64_t row_gap = 0;  // rows between two segments: 0 for a contiguous tensor, P for the last S of every P + S rows;
                        // below 0 where segments overlap

  int64_t row_size() const;  // elements of a row
  // Whether `rows` unused rows lie before each segment.
  bool has_prefix_rows(int64_t rows) const;
  // The view [G, rows + S, ...] that includes these rows; has_prefix_rows(rows) must hold.
  at::Tensor with_prefix_rows(int64_t rows) const;
};

// nullopt where a segment of t [G, S, ...] is not contiguous, or segments lie apart by no whole number of rows.
std::optional<PaddedSegments> as_padded_segments(const at::Tensor& t);

// An uninitialised contiguous tensor of `sizes` [G, S, ...]. Its storage has `rows` rows of zeros before it.
at::Tensor empty_with_leading_rows(at::IntArrayRef sizes, int64_t rows, const at::TensorOptions& options);

}  // namespace hici::ops
