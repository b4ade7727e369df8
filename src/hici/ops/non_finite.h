// SPDX-License-Identifier: Apache-2.0
// Detection of nan and infinity, which damaged weights and diverged training produce.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace hici::ops {

// Whether every value of a row of [B, X] is finite -> bool [B]. Does not synchronise: one pass sums in float32
// (float64), and nan and infinity propagate. Finite values whose sum exceeds float32 count as infinite; logits are far
// below.
at::Tensor rows_are_finite(const at::Tensor& t_BX);

// "nan", "inf" or "-inf": the first non-finite value of t; "" when all are finite, and for integers. Synchronises.
std::string first_non_finite(const at::Tensor& t);

}  // namespace hici::ops
