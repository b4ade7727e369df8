// SPDX-License-Identifier: Apache-2.0
// Attention of queries to one part of their keys, and what two parts are together: a softmax over all keys is the sum
// of the softmaxes over its parts, each weighted by its share of the exponentials. Without gradients. B sequences, S
// queries of each, K keys, H query heads, J kv heads, D head dim
#pragma once

#include "hici/ops/segment_attention.h"

#include <ATen/core/Tensor.h>

namespace hici::ops {

struct AttentionPart {
  at::Tensor out_BSHD;  // the queries' type; of joined parts the type of accumulation
  at::Tensor lse_BHS;   // log of the sum of exponentials, in the type of accumulation
};

// q [B, S, H, D], k and v [B, K, J, D], any strides but of the last dimension. Causal: the queries are the last S of
// the keys' K >= S rows. Softmax scale 1/sqrt(D). `backend`: what backend_of_parts() gives. Memory beside the output
// grows as S + K.
AttentionPart attend_part(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD, bool is_causal,
                          AttentionBackend backend);
AttentionPart join_parts(const AttentionPart& a, const AttentionPart& b);

// kAuto as kFlash where that takes the queries, else as kMath; kMath and kFlash as they are.
AttentionBackend backend_of_parts(const at::Tensor& q_BSHD, AttentionBackend backend);

}  // namespace hici::ops
