// SPDX-License-Identifier: Apache-2.0
// Cross-attention of a few query vectors to the hidden states of each segment. Keys and values are the hidden states
// themselves: the projections are absorbed into the queries (hierarchy/local_constructor.h).
// G segments, S tokens per segment, Q queries, C hidden
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

// x [G, S, C], queries [Q, C], valid [G, S] bool or undefined -> [Q, G, C]. Output q of segment g is
// sum_s softmax_s(queries[q] . x[g, s]) x[g, s]. The softmax is in float32 (float64 for float64). A segment without a
// valid token averages all of its tokens. Hand-written backward; saves the inputs and the weights [G, Q, S].
at::Tensor segment_cross_attention(const at::Tensor& x_GSC, const at::Tensor& queries_QC, const at::Tensor& valid_GS);

// A score of what is not looked at: the lowest finite number of `type`, not -inf, so that a segment without a valid
// token gets equal weights instead of NaN.
double masked_score(at::ScalarType type);

}  // namespace hici::ops
