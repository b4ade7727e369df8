// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/segments.h"

#include "hici/base/error.h"

namespace hici::nn {

int64_t SegmentInputs::length_in(const at::Tensor& x_BTC) const {
  const int64_t length = segment_length > 0 ? segment_length : x_BTC.size(1);
  HICI_ASSERT(x_BTC.size(1) % length == 0, "T ", x_BTC.size(1), " S ", length);
  return length;
}

at::Tensor attend_segments(const AttentionProjections& projections, const at::Tensor& x_BTC, const CommonInputs& common,
                           const SegmentInputs& in) {
  const ops::AttentionHeads heads =
      projections.prepare_qkv(projections.project_tokens(x_BTC), {}, common, in.length_in(x_BTC));
  return as_attention(
      heads, [&](const ops::AttentionHeads& marked) { return ops::segment_attention(marked, common.backend); });
}

}  // namespace hici::nn
