// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/full.h"

#include "hici/nn/attention/segments.h"

namespace hici::nn {

at::Tensor attend_full(const AttentionProjections& projections, const at::Tensor& x_BTC, const CommonInputs& common) {
  return attend_segments(projections, x_BTC, common, {});  // one segment of all tokens
}

}  // namespace hici::nn
