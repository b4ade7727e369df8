// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/dual_chunk.h"

#include "hici/base/error.h"
#include "hici/ops/cached_attention.h"

#include <ATen/ATen.h>

namespace hici::nn {
namespace {

ops::DualChunkHeads heads_of(const AttentionProjections& projections, const at::Tensor& x_BTC,
                             const DualChunkInputs& in) {
  return ops::prepare_dual_chunk_qkv(projections.split_heads(projections.project_tokens(x_BTC)), in.tables);
}

at::Tensor attend(const ops::DualChunkHeads& heads, const CommonInputs& common, const DualChunkInputs& in) {
  return device::profiled(
      device::Part::kAttention,
      [&](const at::Tensor& q_3BTHD) {
        return ops::dual_chunk_attention(q_3BTHD, heads.k_BTJD, heads.v_BTJD, in.tables.chunk_len, common.backend);
      },
      heads.q_3BTHD);
}

}  // namespace

at::Tensor attend_dual_chunks(const AttentionProjections& projections, const at::Tensor& x_BTC,
                              const CommonInputs& common, const DualChunkInputs& in) {
  return attend(heads_of(projections, x_BTC, in), common, in);
}

at::Tensor attend_dual_chunks(const AttentionProjections& projections, const at::Tensor& x_BTC,
                              const CommonInputs& common, const DualChunkInputs& in, const CacheRows& rows,
                              const LayerCache& cache) {
  HICI_ASSERT(rows.first_visible == 0, "slots in a cache of Dual Chunk Attention");
  // Decoding: [1, B, C], so that each token has its own row of the tables.
  const at::Tensor x = rows.decodes() ? x_BTC.transpose(0, 1) : x_BTC;
  const ops::DualChunkHeads heads = heads_of(projections, x, in);
  write_rows(cache, rows, heads.k_BTJD, heads.v_BTJD);
  if (rows.decodes()) {
    return ops::decode_dual_chunk_attention(heads.q_3BTHD.select(1, 0), cache.k_BXJD, cache.v_BXJD, rows.lengths_B,
                                            in.tables.chunk_len);
  }
  const int64_t seen = rows.first_row + x.size(1);
  return attend({heads.q_3BTHD, cache.k_BXJD.narrow(1, 0, seen), cache.v_BXJD.narrow(1, 0, seen)}, common, in);
}

}  // namespace hici::nn
