// SPDX-License-Identifier: Apache-2.0
// Dual Chunk Attention (config/dual_chunk.h), a baseline without gradients and slots: whole sequences, prompts into a
// cache, and decoding over it. Reference: dual_chunk_attention() of the reference.
#pragma once

#include "hici/nn/attention/projections.h"
#include "hici/nn/kv_cache.h"
#include "hici/ops/dual_chunk_attention.h"

namespace hici::nn {

struct DualChunkInputs {
  ops::DualChunkTables tables;  // of the tokens' positions
};

at::Tensor attend_dual_chunks(const AttentionProjections& projections, const at::Tensor& x_BTC,
                              const CommonInputs& common, const DualChunkInputs& in);
// Writes keys and values of the tokens to `rows` of the cache and attends to all rows up to them.
at::Tensor attend_dual_chunks(const AttentionProjections& projections, const at::Tensor& x_BTC,
                              const CommonInputs& common, const DualChunkInputs& in, const CacheRows& rows,
                              const LayerCache& cache);

}  // namespace hici::nn
