// SPDX-License-Identifier: Apache-2.0
// Partial attention: softmax attention over a part of the keys, with its log-sum-exp (LSE). Two partial results merge
// exactly: the LSEs give the weight of each. No gradients.
// B sequences, S queries each, K keys, H query heads, J kv heads, D head dim
#pragma once

#include "hici/ops/segment_attention.h"

#include <ATen/core/Tensor.h>

namespace hici::ops {

struct PartialAttention {
  at::Tensor out_BSHD;  // dtype of the queries; after a merge the accumulation dtype
  at::Tensor lse_BHS;   // log-sum-exp of the scores, accumulation dtype
};

// q [B, S, H, D], k and v [B, K, J, D]; only the last dimension must be contiguous. Causal: the queries are the last S
// of K >= S positions. Softmax scale 1/sqrt(D). `backend` is a result of partial_backend(). Extra memory is O(S + K).
PartialAttention partial_attention(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                                   bool is_causal, AttentionBackend backend);
// Attention over the union of two disjoint sets of keys.
PartialAttention merge_partials(const PartialAttention& a, const PartialAttention& b);

// Resolves kAuto to kFlash where it supports the queries, else to kMath. kMath and kFlash stay.
AttentionBackend partial_backend(const at::Tensor& q_BSHD, AttentionBackend backend);

}  // namespace hici::ops
