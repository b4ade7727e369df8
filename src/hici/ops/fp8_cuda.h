// SPDX-License-Identifier: Apache-2.0
// Launchers of the kernels that write rows in 8 bits: of a tensor, of SwiGLU, and of SwiGLU's gradients.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// Rows [segments * length, width] of a tensor with `stride` elements between segments. width and stride are multiples
// of 8; every pointer is aligned to 16 bytes.
struct QuantiseShape {
  int64_t segments, length, width, stride;
};
// Rows in float8_e4m3fn and the scale of each, [segments * length]. Columns are multiplied by `factor` [width] first,
// if it is not null.
struct QuantisedRows {
  const float* factor;
  void* rows;
  float* scale;
};
cudaError_t launch_quantise_rows(ElementType type, const QuantiseShape& shape, const void* x, const QuantisedRows& out,
                                 cudaStream_t stream);
// Of silu(gate) * up, rounded to the type of both, which are contiguous.
cudaError_t launch_quantise_swiglu(ElementType type, const QuantiseShape& shape, const void* gate, const void* up,
                                   const QuantisedRows& out, cudaStream_t stream);
// Of the two gradients of the same, given that of its result.
cudaError_t launch_quantise_swiglu_backward(ElementType type, const QuantiseShape& shape, const void* dy,
                                            const void* gate, const void* up, const QuantisedRows& dgate,
                                            const QuantisedRows& dup, cudaStream_t stream);

}  // namespace hici::ops::cuda
