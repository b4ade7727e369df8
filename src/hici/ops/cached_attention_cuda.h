// SPDX-License-Identifier: Apache-2.0
// Launcher of decode attention over a KV cache. Does not support float64.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// q [distances, batch, heads, head_dim], out [batch, heads, head_dim]; k, v [batch, rows, kv_heads, head_dim] with
// `k_stride` and `v_stride` elements between sequences, of which the first lengths[b] rows are visible. A row of a head
// is 16 bytes for each of a power of two threads, 32 at most. At most kMaxDecodeHeads query heads per k/v head.
inline constexpr int64_t kMaxDecodeHeads = 8, kMaxDecodeSplits = 1024;
struct DecodeShape {
  int64_t batch, heads, kv_heads, head_dim, rows, k_stride, v_stride;
  int64_t distances;  // rows r chunks before the query's chunk are scored with q[min(r, distances - 1)]
  int64_t chunk_len;
  int64_t splits;  // of the visible rows, one block each: decode_splits()
};
struct DecodePointers {
  const void *q, *k, *v;
  const int64_t* lengths;
  double scale;
  float *partial, *partial_lse;  // workspaces [batch, heads, splits, head_dim] and [batch, heads, splits]
  void* out;
};
// As many splits as occupy the whole card; `shape.splits` is not read.
int64_t decode_splits(ElementType type, const DecodeShape& shape);
cudaError_t launch_decode_attention(ElementType type, const DecodeShape& shape, const DecodePointers& p,
                                    cudaStream_t stream);

// k_cache[rows[i]] = k[i], v_cache[rows[i]] = v[i] for rows of `packs` times 16 bytes.
struct CacheRowsShape {
  int64_t count, packs;
};
cudaError_t launch_write_cache_rows(const CacheRowsShape& shape, const int64_t* rows, const void* k, const void* v,
                                    void* k_cache, void* v_cache, cudaStream_t stream);

// The partial results on tensor cores (cached_attention_mma_cuda.cu), for the types and sizes that have them.
bool decode_uses_mma(ElementType type, const DecodeShape& shape);
int64_t decode_splits_mma(int64_t batch, int64_t kv_heads, int64_t rows);
cudaError_t launch_decode_partial_mma(ElementType type, const DecodeShape& shape, const DecodePointers& p,
                                      cudaStream_t stream);

}  // namespace hici::ops::cuda
