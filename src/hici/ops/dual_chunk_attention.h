// SPDX-License-Identifier: Apache-2.0
// Dual Chunk Attention (config/dual_chunk.h) without gradients: a baseline for evaluation. Decoding over a cache is
// attend_cache_chunks() in cached_attention.h. Reference: dual_chunk_attention() of the reference.
// B sequences, T tokens, S queries, K keys, H query heads, J kv heads, D head dim
#pragma once

#include "hici/config/dual_chunk.h"
#include "hici/ops/attention_heads.h"
#include "hici/ops/segment_attention.h"

namespace hici::ops {

// By how many chunks a key lies before its query: in the same, in the one before, further away. Each is an angle.
inline constexpr int64_t kChunkDistances = 3;

struct DualChunkTables {
  int64_t chunk_len = 0;
  RotaryTables own;     // [T, D/2], of the place in its chunk: keys, and queries for keys of their own chunk
  RotaryTables before;  // [T, D/2], of queries for keys of the chunk before
  RotaryTables far;     // [1, D/2], of queries for all earlier keys
};

// positions_T: int64 on the device of the frequencies. Waits for nothing.
DualChunkTables make_dual_chunk_tables(const RotaryFrequencies& frequencies, const config::DualChunk& sizes,
                                       const at::Tensor& positions_T, at::ScalarType model_type);

struct DualChunkHeads {
  at::Tensor q_3BTHD;  // for the keys of each distance
  at::Tensor k_BTJD, v_BTJD;
};

// Normed (Qwen3) and rotated; row t of the tables belongs to token t of every sequence. No slots.
DualChunkHeads place_dual_chunk_heads(const HeadProjections& in, const DualChunkTables& tables);

// The queries are the last S of K rows, which begin at position 0, and see all up to their own. q [3, B, S, H, D], k
// and v [B, K, J, D] -> [B, S, H, D]. Chunk by chunk, three parts of attention each, so that memory grows as S + K.
// `backend` is kFlash, kMath or kAuto (flash where that is possible).
at::Tensor dual_chunk_attention(const at::Tensor& q_3BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                                int64_t chunk_len, AttentionBackend backend);

}  // namespace hici::ops
