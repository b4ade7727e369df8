// SPDX-License-Identifier: Apache-2.0
// Launchers of SwiGLU, over `count` elements.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

cudaError_t launch_swiglu_forward(ElementType type, int64_t count, const void* gate, const void* up, void* y,
                                  cudaStream_t stream);
cudaError_t launch_swiglu_backward(ElementType type, int64_t count, const void* dy, const void* gate, const void* up,
                                   void* dgate, void* dup, cudaStream_t stream);

}  // namespace hici::ops::cuda
