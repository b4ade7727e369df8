// SPDX-License-Identifier: Apache-2.0
// Dual Chunk Attention (config/dual_chunk.h), a baseline for evaluation. No gradients. Decode over a KV cache is
// decode_dual_chunk_attention() in cached_attention.h. Reference: dual_chunk_attention() of the reference.
// B sequences, T tokens, S queries, K keys, H query heads, J kv heads, D head dim
#pragma once

#include "hici/config/dual_chunk.h"
#include "hici/ops/attention_heads.h"
#include "hici/ops/segment_attention.h"

namespace hici::ops {

// Chunks between a key and its query: none, one, more. Each has its own rotation of the query.
inline constexpr int64_t kChunkDistances = 3;

struct DualChunkTables {
  int64_t chunk_len = 0;
  RotaryTables own;     // [T, D/2], position in the chunk: keys, and queries for keys of their own chunk
  RotaryTables before;  // [T, D/2], queries for keys of the chunk before
  RotaryTables far;     // [1, D/2], queries for all earlier keys
};

// positions_T: int64 on the device of the frequencies. Does not synchronise.
DualChunkTables make_dual_chunk_tables(const RotaryFrequencies& frequencies, const config::DualChunk& sizes,
                                       const at::Tensor& positions_T, at::ScalarType model_type);

struct DualChunkHeads {
  at::Tensor q_3BTHD;  // for the keys of each distance
  at::Tensor k_BTJD, v_BTJD;
};

// QK-norm and rotations. Row t of the tables belongs to token t of every sequence. No slots.
DualChunkHeads prepare_dual_chunk_qkv(const QkvProjections& in, const DualChunkTables& tables);

// The queries are the last S of K causal positions from 0 on. q [3, B, S, H, D], k and v [B, K, J, D] -> [B, S, H, D].
// Each chunk of queries merges three partial attentions, so memory is O(S + K). `backend` is kFlash, kMath or kAuto
// (flash where supported).
at::Tensor dual_chunk_attention(const at::Tensor& q_3BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                                int64_t chunk_len, AttentionBackend backend);

}  // namespace hici::ops
