// SPDX-License-Identifier: Apache-2.0
// Which rows of a KV cache a block of decode attention reads, and constants of its two kernels.
#pragma once

#include "hici/ops/cached_attention_cuda.h"

namespace hici::ops::cuda {

inline constexpr float kEmptyMax = -1e30f;  // a maximum over no row; finite, so that differences are

struct Rows {
  int64_t first, last;

  __device__ bool any() const { return first < last; }
};

// Those of split `split` of a sequence.
__device__ inline Rows rows_of_split(const DecodeShape& shape, int64_t length, int64_t split) {
  const int64_t each = (length + shape.splits - 1) / shape.splits;
  return {split * each, min(split * each + each, length)};
}

// Those of the block whose chunk lies `distance` before the query's; the last distance is any further one.
__device__ inline Rows rows_at(int64_t distance, const DecodeShape& shape, int64_t query_chunk, const Rows& block) {
  const int64_t chunk = (query_chunk - distance) * shape.chunk_len;
  return {distance + 1 < shape.distances ? max(block.first, chunk) : block.first,
          min(block.last, chunk + shape.chunk_len)};
}

}  // namespace hici::ops::cuda
