// SPDX-License-Identifier: Apache-2.0
// What a few query vectors read of each segment: softmax-weighted means of its hidden states. The core of local
// construction with its projections absorbed into the queries (hierarchy/local_constructor.h).
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

// x [G, S, C], queries [X, C], valid [G, S] bool or undefined -> means [X, G, C], where mean x of segment g is
// sum_s softmax_s(queries[x] . x[g, s]) x[g, s]. The softmax is in float32 (float64 for float64); a segment without a
// valid token averages all of its tokens. Hand-written backward; keeps the weights [G, X, S] and the means.
at::Tensor read_segments(const at::Tensor& x_GSC, const at::Tensor& queries_XC, const at::Tensor& valid_GS);

}  // namespace hici::ops
