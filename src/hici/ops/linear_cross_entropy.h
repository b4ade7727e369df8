// SPDX-License-Identifier: Apache-2.0
// Output head, softmax and cross-entropy loss in chunks of tokens: the logits [n, V] never exist as a whole.
// n tokens, C hidden, V vocabulary
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

inline constexpr int64_t kIgnoredLabel = -100;

// Tokens per chunk.
int64_t loss_chunk_tokens(bool on_gpu, int64_t vocabulary);

// Sum over tokens with label != kIgnoredLabel of -log softmax(hidden W^T)[label]; a scalar in float32 (float64 for
// float64). hidden [n, C], weight [V, C], labels [n] int64. The forward computes the gradients of hidden and, where it
// is trained, of weight, chunk by chunk: 6 C V operations per token and no second pass.
at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels);

// Scores of each position for evaluation. No gradients.
struct TokenScores {
  at::Tensor log_likelihood;  // [n] log probability of the target, float32 (float64 for float64)
  at::Tensor argmax;          // [n] int64, the most probable token
};
TokenScores score_tokens(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets);

}  // namespace hici::ops
