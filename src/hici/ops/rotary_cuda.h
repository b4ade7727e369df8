// SPDX-License-Identifier: Apache-2.0
// Launcher of the rotary embedding.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// x [segments, length, heads, head_dim] with `x_stride` elements between segments, y likewise; all else contiguous.
struct RotaryShape {
  int64_t segments, length, heads, head_dim;
  int64_t x_stride, y_stride;
  int64_t table_rows;  // token g * length + s uses row (g * length + s) mod table_rows
};

// Tables [table_rows, head_dim / 2]; float64 when `type` is, else float32. `sign` -1 is the inverse.
cudaError_t launch_rotary(ElementType type, RotaryShape shape, const void* x, const void* cos, const void* sin,
                          double sign, void* y, cudaStream_t stream);

}  // namespace hici::ops::cuda
