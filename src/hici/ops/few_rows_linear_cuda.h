// SPDX-License-Identifier: Apache-2.0
// Launcher of linear layers over a few rows, as in decoding: their cost is reading every weight once.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

inline constexpr int64_t kMaxFewRows = 8, kMaxFewRowsLayers = 4;
// The columns of x that a warp reads at once; `in` is a multiple of it.
inline constexpr int64_t kFewRowsColumns = 64;

// out [rows, width] = x weight^T + scale low b^T, for weight [width, in] and, with rank > 0, low [rows, rank] (rows
// `low_stride` elements apart) and b [width, rank].
struct FewRowsLayer {
  const void* weight;
  void* out;
  int64_t width;
  const void *low, *b;
  int64_t rank, low_stride;
  float scale;
};
// x [rows, in]. x and the weights are aligned to 16 bytes.
struct FewRowsLayers {
  const void* x;
  int64_t rows, in, count;
  FewRowsLayer at[kMaxFewRowsLayers];
};
// 16-bit types alone.
cudaError_t launch_few_rows_linears(ElementType type, const FewRowsLayers& layers, cudaStream_t stream);

}  // namespace hici::ops::cuda
