// SPDX-License-Identifier: Apache-2.0
// Causal attention over the whole sequence. Reference: full_attention() of the reference.
#pragma once

#include "hici/nn/attention/projections.h"

namespace hici::nn {

struct FullInputs {};

// x_BTC, already normed -> the heads of its tokens, as project_output() takes them. So do all kinds.
at::Tensor attend_full(const AttentionProjections& projections, const at::Tensor& x_BTC, const CommonInputs& common);

}  // namespace hici::nn
