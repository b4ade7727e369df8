// SPDX-License-Identifier: Apache-2.0
// Tensors with room for rows in front of them in memory. Attention over P prefix slots is a square problem once each
// segment has P more queries in front; these count for nothing, so that any finite rows will do: for all segments but
// the first the last P rows of the one before, and for the first what is made here. Nothing has to be copied.
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

// Uninitialised and contiguous, of `sizes`, with `rows` rows of zeros before it in its storage; a row is all but the
// first two dimensions.
at::Tensor empty_behind_rows(at::IntArrayRef sizes, int64_t rows, const at::TensorOptions& options);

// True when `rows` rows stand before t [G, S, ...] in its storage and each of its segments is contiguous. Tensors that
// ops hand on hold finite numbers there.
bool has_front_rows(const at::Tensor& t, int64_t rows);

// Rows between the segments of t [G, S, ...]: 0 for a contiguous tensor, P for the last S of every P + S rows.
int64_t rows_between(const at::Tensor& t);

}  // namespace hici::ops
