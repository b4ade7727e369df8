// SPDX-License-Identifier: Apache-2.0
// LongLoRA's shifted sparse attention (S2). Reference: shifted_sparse_attention() of the reference.
#pragma once

#include "hici/nn/attention/segments.h"

namespace hici::nn {

struct ShiftedInputs : SegmentInputs {};

at::Tensor attend_shifted(const AttentionProjections& projections, const at::Tensor& x_BTC, const CommonInputs& common,
                          const ShiftedInputs& in);

}  // namespace hici::nn
