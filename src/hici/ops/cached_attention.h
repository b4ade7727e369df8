// SPDX-License-Identifier: Apache-2.0
// Attention of new tokens over a KV cache: prefill and decode. No gradients. Reference: prefill_cache() and
// decode_attention() of the reference.
// B sequences, S new tokens each, K visible rows of the cache, X rows of the cache, H query heads, J kv heads, D head
// dim
#pragma once

#include "hici/ops/segment_attention.h"

#include <ATen/core/Tensor.h>

namespace hici::ops {

// Prefill. The S tokens are the last S of K rows; token i attends to rows 0 .. K - S + i. q [B, S, H, D], k and v
// [B, K, J, D], K >= S -> [B, S, H, D]. Memory is O(S + K), with the math backend O(S * K). kAuto prefers flash: cuDNN
// would build a plan for every K.
at::Tensor prefill_attention(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                             AttentionBackend backend);

// Decode. One query per sequence; it attends to the first lengths_B[b] >= 1 rows. q [B, H, D], k and v [B, X, J, D]
// with any stride between sequences, lengths_B int64 on the same device -> [B, H, D]. On a GPU the launches depend on
// shapes only and never synchronise, so a CUDA graph can record them (device/device_graph.h).
at::Tensor decode_attention(const at::Tensor& q_BHD, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                            const at::Tensor& lengths_B);

// Decode with Dual Chunk Attention. Keys are rotated by their position in their chunk. q [3, B, H, D] holds the query
// rotated for keys of its own chunk, of the chunk before, and of all earlier chunks (DualChunkHeads::q_3BTHD).
at::Tensor decode_dual_chunk_attention(const at::Tensor& q_3BHD, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                                       const at::Tensor& lengths_B, int64_t chunk_len);

// Writes keys and values [n, J, D] of n tokens to rows `rows_n` (int64, on the same device) of a cache [B, X, J, D],
// counted over all its sequences. Does not synchronise.
void write_cache_rows(const at::Tensor& k_cache_BXJD, const at::Tensor& v_cache_BXJD, const at::Tensor& rows_n,
                      const at::Tensor& k_nJD, const at::Tensor& v_nJD);

}  // namespace hici::ops
