// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/full.h"

namespace hici::nn {

at::Tensor attend_full(const AttentionProjections& projections, const at::Tensor& x_BTC, const CommonInputs& common) {
  const ops::AttentionHeads heads =
      projections.prepare_qkv(projections.project_tokens(x_BTC), {}, common, x_BTC.size(1));
  return as_attention(
      heads, [&](const ops::AttentionHeads& marked) { return ops::segment_attention(marked, common.backend); });
}

}  // namespace hici::nn
