// SPDX-License-Identifier: Apache-2.0
// Launcher of linear layers over a few rows, as in decoding: their cost is reading every weight once.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

inline constexpr int64_t kMaxFewRows = 8, kMaxFewRowsLayers = 4;
// Of each row of a weight a warp reads so many bytes at once; they divide the row.
inline constexpr int64_t kFewRowsBytes = 128;

// out [rows, width] = x weight^T + scale low b^T, for weight [width, in] and, with rank > 0, low [rows, rank]
// and b [width, rank]. 8-bit products are multiplied by channel_scale [width].
struct FewRowsLayer {
  const void* weight;
  const float* channel_scale;
  void* out;
  int64_t width;
  const void *low, *b;
  int64_t rank;
  float scale;
};
// x [rows, in], of the weights' type: that of outputs and adapters, or float8_e4m3fn with x_scale [rows]. x and the
// weights are aligned to 16 bytes.
struct FewRowsLayers {
  const void* x;
  const float* x_scale;
  int64_t rows, in, count;
  FewRowsLayer at[kMaxFewRowsLayers];
};
// `type`, of 16 bits, is that of the outputs. 8-bit products need compute capability 8.9.
cudaError_t launch_few_rows_linears(ElementType type, const FewRowsLayers& layers, cudaStream_t stream);

}  // namespace hici::ops::cuda
