// SPDX-License-Identifier: Apache-2.0
// Causal attention inside each segment, which sees nothing of the others: what HiCI is without slots.
#pragma once

#include "hici/nn/attention/projections.h"

namespace hici::nn {

struct SegmentInputs {
  int64_t segment_length = 0;  // S; divides T; 0: T

  int64_t length_in(const at::Tensor& x_BTC) const;  // S
};

at::Tensor attend_segments(const AttentionProjections& projections, const at::Tensor& x_BTC, const CommonInputs& common,
                           const SegmentInputs& in);

}  // namespace hici::nn
