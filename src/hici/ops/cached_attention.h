// SPDX-License-Identifier: Apache-2.0
// Attention of new tokens over a key/value cache, without gradients. Reference: prefill_cache() and decode_attention()
// of the reference.
// B sequences, S new tokens of each, K rows of the cache that they see, X rows that there are, H query heads, J kv
// heads, D head dim
#pragma once

#include "hici/ops/segment_attention.h"

#include <ATen/core/Tensor.h>

namespace hici::ops {

// Prefill: the S tokens are the last S of K rows, and token i sees the rows 0 .. K - S + i. q [B, S, H, D], k and v
// [B, K, J, D], K >= S -> [B, S, H, D]. Memory does not grow as K * S but with the backend math. kAuto is flash
// where that is possible: cuDNN would make a plan for every K.
at::Tensor attend_chunk(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                        AttentionBackend backend);

// Decoding: one query for each sequence, which sees the first lengths_B[b] >= 1 rows. q [B, H, D], k and v [B, X, J, D]
// with any first stride, lengths_B int64 on the same device -> [B, H, D]. On a GPU the shapes alone decide what is
// queued, and nothing waits for the device, so that it can be recorded (ops/device_graph.h).
at::Tensor attend_cache(const at::Tensor& q_BHD, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                        const at::Tensor& lengths_B);

// The same with Dual Chunk Attention, keys rotated by their place in their chunk: q [3, B, H, D] is the query as
// DualChunkHeads::q_3BTHD has it, rotated for the keys of its own chunk, of the chunk before and of all earlier ones.
at::Tensor attend_cache_chunks(const at::Tensor& q_3BHD, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                               const at::Tensor& lengths_B, int64_t chunk_len);

}  // namespace hici::ops
