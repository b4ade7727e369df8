// SPDX-License-Identifier: Apache-2.0
// Launchers for the backward of segment cross-attention.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

struct ScoresShape {
  int64_t segments, rows, length;
};

// weight and dweight [segments, rows, length], a softmax along length and its gradient. joint [segments, 2 rows,
// length]: the weights, then the gradient of the scores.
cudaError_t launch_score_gradients(ElementType type, ScoresShape shape, const void* weight, const void* dweight,
                                   void* joint, cudaStream_t stream);

// out [segments, 2 rows, length]: dmean [rows, segments, length] by segments, then queries [rows, length].
cudaError_t launch_join_rows(ElementType type, ScoresShape shape, const void* dmean, const void* queries, void* out,
                             cudaStream_t stream);

}  // namespace hici::ops::cuda
