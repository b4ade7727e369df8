// SPDX-License-Identifier: Apache-2.0
// Work on a large matrix a few rows at a time: what is made of them stays in the processor's cache, and needs no new
// pages of memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

namespace hici::io {

// Of one piece.
inline constexpr int64_t kPieceValues = int64_t{1} << 17;

// body(row, rows) for all rows of t, in their order; t has one dimension at least.
template <typename Body>
void for_row_pieces(const at::Tensor& t, const Body& body) {
  if (t.numel() == 0) return;
  const int64_t step = std::max<int64_t>(1, kPieceValues / (t.numel() / t.size(0)));
  for (int64_t row = 0; row < t.size(0); row += step) body(row, std::min(step, t.size(0) - row));
}

}  // namespace hici::io
