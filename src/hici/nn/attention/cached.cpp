// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/cached.h"

#include "hici/ops/cached_attention.h"

#include <ATen/ATen.h>

namespace hici::nn {
namespace {

at::Tensor prefill(const AttentionProjections& projections, const at::Tensor& x_1SC, const CommonInputs& common,
                   const CacheRows& rows, const LayerCache& cache) {
  const ops::AttentionHeads heads =
      projections.prepare_qkv(projections.project_tokens(x_1SC), {}, common, x_1SC.size(1));
  const int64_t seen = rows.first_row + x_1SC.size(1);
  write_rows(cache, rows, heads.k_GKJD, heads.v_GKJD);
  return ops::prefill_attention(heads.q_GSHD, cache.k_BXJD.narrow(1, 0, seen), cache.v_BXJD.narrow(1, 0, seen),
                                common.backend);
}

at::Tensor decode(const AttentionProjections& projections, const at::Tensor& x_B1C, const CommonInputs& common,
                  const CacheRows& rows, const LayerCache& cache) {
  // The B tokens as one sequence, so that each has its own row of the rotary tables.
  const at::Tensor x_1BC = x_B1C.transpose(0, 1);
  const ops::AttentionHeads heads =
      projections.prepare_qkv(projections.project_tokens(x_1BC), {}, common, x_1BC.size(1));
  write_rows(cache, rows, heads.k_GKJD, heads.v_GKJD);
  const int64_t skipped = rows.first_visible;
  auto visible = [&](const at::Tensor& t_BXJD) { return t_BXJD.narrow(1, skipped, t_BXJD.size(1) - skipped); };
  return ops::decode_attention(heads.q_GSHD[0], visible(cache.k_BXJD), visible(cache.v_BXJD), rows.lengths_B);
}

}  // namespace

at::Tensor attend_cached(const AttentionProjections& projections, const at::Tensor& x_BTC, const CommonInputs& common,
                         const CacheRows& rows, const LayerCache& cache) {
  return rows.decodes() ? decode(projections, x_BTC, common, rows, cache)
                        : prefill(projections, x_BTC, common, rows, cache);
}

}  // namespace hici::nn
