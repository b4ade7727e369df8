// SPDX-License-Identifier: Apache-2.0
// Launcher of an adapter's backward, of y += scale low b^T.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// dlow [rows, rank] = scale d b and db [columns, rank] = scale d^T low, for d [segments, length, columns] with
// `d_stride` elements between segments and rows = segments * length. `low_stride` elements between rows of low and of
// dlow.
struct LoraShape {
  int64_t segments, length, columns, rank, d_stride, low_stride;
};
// 16-bit types; rank 8 with columns a multiple of 256, or rank 16 with a multiple of 128; strides multiples of 8; d,
// low and b aligned to 16 bytes.
bool lora_backward_supports(ElementType type, const LoraShape& shape, const void* d, const void* low, const void* b);
// Sizes of the workspaces dlow_parts [dlow, rows, rank] and db_parts [db, columns, rank].
struct LoraParts {
  int64_t dlow, db;
};
LoraParts lora_parts(const LoraShape& shape);
struct LoraBackward {
  const void *d, *low, *b;
  float scale;
  float *dlow_parts, *db_parts;
  void *dlow, *db;
};
cudaError_t launch_lora_backward(ElementType type, const LoraShape& shape, const LoraBackward& p, cudaStream_t stream);

}  // namespace hici::ops::cuda
