// SPDX-License-Identifier: Apache-2.0
// Launchers of the loss and of token scores. They compute in float32 and do not support float64.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

struct LogitsShape {
  int64_t tokens, vocabulary;
};

// losses [tokens]: -log softmax(logits)[label], 0 where the label is `ignored`. The gradient, softmax - one_hot(label)
// or 0, overwrites the logits.
cudaError_t launch_cross_entropy(ElementType type, LogitsShape shape, int64_t ignored, void* logits,
                                 const int64_t* labels, float* losses, cudaStream_t stream);
// Log probability of each target, and the most probable token (the first of equals).
cudaError_t launch_token_scores(ElementType type, LogitsShape shape, const void* logits, const int64_t* targets,
                                float* log_likelihood, int64_t* argmax, cudaStream_t stream);

}  // namespace hici::ops::cuda
