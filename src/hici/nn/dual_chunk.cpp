// SPDX-License-Identifier: Apache-2.0
// A layer's Dual Chunk Attention: whole sequences, prompts into a cache, and decoding over it.
#include "hici/base/error.h"
#include "hici/device/profile.h"
#include "hici/nn/attention.h"
#include "hici/ops/cached_attention.h"

#include <ATen/ATen.h>

namespace hici::nn {

at::Tensor Attention::attend_dual_chunks(const at::Tensor& x_BTC, const AttentionContext& context,
                                         const LayerCache* cache) const {
  const bool decodes = cache != nullptr && context.cache_rows.decodes();
  const int64_t chunk_len = context.dual_chunk.chunk_len;
  const at::Tensor x = decodes ? x_BTC.transpose(0, 1) : x_BTC;  // [1, B, C]: each token has its own row of the tables
  auto split = [&](const at::Tensor& t) { return t.view({t.size(0), t.size(1), -1, head_dim}); };
  const TensorList tokens = project_tokens(x, 0, context);
  const ops::DualChunkHeads heads = ops::prepare_dual_chunk_qkv(
      {split(tokens[0]), split(tokens[1]), split(tokens[2]), {}, {}, q_norm, k_norm, norm_eps}, context.dual_chunk);
  at::Tensor k = heads.k_BTJD, v = heads.v_BTJD;
  if (cache != nullptr) {
    HICI_ASSERT(context.cache_rows.first_visible == 0, "slots in a cache of Dual Chunk Attention");
    write_rows(*cache, context.cache_rows, k, v);
    if (decodes) {
      return ops::decode_dual_chunk_attention(heads.q_3BTHD.select(1, 0), cache->k_BXJD, cache->v_BXJD,
                                              context.cache_rows.lengths_B, chunk_len);
    }
    const int64_t seen = context.cache_rows.first_row + x.size(1);
    k = cache->k_BXJD.narrow(1, 0, seen);
    v = cache->v_BXJD.narrow(1, 0, seen);
  }
  return device::profiled(
      device::Part::kAttention,
      [&](const at::Tensor& q_3BTHD) { return ops::dual_chunk_attention(q_3BTHD, k, v, chunk_len, context.backend); },
      heads.q_3BTHD);
}

}  // namespace hici::nn
