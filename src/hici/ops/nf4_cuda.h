// SPDX-License-Identifier: Apache-2.0
// Launcher of NF4's unpacking (ops/nf4.h).
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// out [64 blocks] = the codes of each block times its scale. codes [32 blocks] and out are aligned to 16 bytes.
cudaError_t launch_unpack_nf4(ElementType type, int64_t blocks, const void* codes, const float* scales, void* out,
                              cudaStream_t stream);

}  // namespace hici::ops::cuda
