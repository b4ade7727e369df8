// SPDX-License-Identifier: Apache-2.0
// Padding rows around the segments of a tensor, in memory that exists anyway. Attention of S queries over P prefix
// slots and S tokens becomes a square problem with P padding queries per segment. Their log-sum-exp is +inf, hence
// weight 0 and no gradient. Their contents do not matter as long as they are finite: segment g > 0 uses the last P rows
// of segment g - 1 and segment 0 uses P rows of zeros. Nothing is copied. G segments, S rows per segment; a row is all
// dimensions but the first two
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

// An uninitialised contiguous tensor of `sizes` [G, S, ...]. Its storage has `rows` rows of zeros before it.
at::Tensor empty_with_leading_rows(at::IntArrayRef sizes, int64_t rows, const at::TensorOptions& options);

// True when each segment of t [G, S, ...] is contiguous and its storage has at least `rows` rows before t. Ops only
// pass on tensors whose leading rows are finite.
bool has_leading_rows(const at::Tensor& t, int64_t rows);

// Rows between two segments of t [G, S, ...]: 0 for a contiguous tensor, P for the last S of every P + S rows.
int64_t row_gap(const at::Tensor& t);

}  // namespace hici::ops
