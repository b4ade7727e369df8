// SPDX-License-Identifier: Apache-2.0
// Launchers of segment_attention for Hopper (sm_90a), 16-bit types, head sizes 64 and 128, up to kMaxHopperSlots slots.
#pragma once

#include "hici/ops/cuda_element_type.h"
#include "hici/ops/segment_attention_limits.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// G segments of S queries, P slots, H query heads, J key/value heads, head size D. A row of a tensor is all its heads,
// contiguous; strides are those between segments, in elements.
struct HopperAttentionShape {
  int64_t segments, queries, slots, heads, kv_heads, head_dim;
  double scale;
};
// A tensor [G, rows, heads, D] with free space between its segments.
struct SegmentRows {
  void* data;
  int64_t stride;
};
struct HopperForward {
  SegmentRows q, out;
  const void *k, *v;    // [G, P + S, J, D] contiguous
  float* lse;           // [G, H, S]
  unsigned* next_tile;  // 0 before and after a launch; no two launches that run at the same time share it
};
cudaError_t launch_hopper_attention_forward(ElementType type, const HopperAttentionShape& shape, const HopperForward& p,
                                            cudaStream_t stream);

// Rows of queries that a workspace has: whole tiles.
inline constexpr int64_t kHopperQueryTile = 64;
constexpr int64_t hopper_padded_queries(int64_t queries) {
  return (queries + kHopperQueryTile - 1) / kHopperQueryTile * kHopperQueryTile;
}
// Sums over queries of the slots' gradients are made in chunks of so many queries.
inline constexpr int64_t kHopperSlotChunk = 512, kHopperSlotRows = 16;
constexpr int64_t hopper_slot_chunks(int64_t queries) { return (queries + kHopperSlotChunk - 1) / kHopperSlotChunk; }

struct HopperBackward {
  SegmentRows q, out, dout, dq;
  const void *k, *v;
  const float* lse;  // [G, H, S] of the forward
  void *dk, *dv;     // [G, P + S, J, D] contiguous
  unsigned* next_tile;
  // Workspaces, with S' = hopper_padded_queries(S):
  float *lse_log2, *delta;  // [G, H, S'] each
  float* dq_sum;            // [G, H, S' D]
  float* slot_sums;         // [G, H, hopper_slot_chunks(S), 2, kHopperSlotRows, D]; not read without slots
};
cudaError_t launch_hopper_attention_backward(ElementType type, const HopperAttentionShape& shape,
                                             const HopperBackward& p, cudaStream_t stream);

}  // namespace hici::ops::cuda
