// SPDX-License-Identifier: Apache-2.0
// Launcher of FP8 quantisation.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// Rows of x [segments, length, width], with `stride` elements between segments, to float8_e4m3fn. Columns are
// multiplied by `factor` [width] first (null: not); then each row by 448 over its largest magnitude. scale [rows] is
// the inverse of that. Width and stride are multiples of 8.
struct QuantiseShape {
  int64_t segments, length, width, stride;
};
cudaError_t launch_quantise_rows(ElementType type, const QuantiseShape& shape, const void* x, const float* factor,
                                 void* out, float* scale, cudaStream_t stream);

}  // namespace hici::ops::cuda
