// SPDX-License-Identifier: Apache-2.0
// Values that are no numbers (nan) or infinite: what damaged weights and training that diverged leave behind.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace hici::ops {

// Whether every value of a row [B, X] is finite -> bool [B], on the device and without waiting for it: one pass for a
// sum in float32 (float64), which nan and infinity survive. Finite values whose sum is beyond float32 count as
// infinite; logits are far below.
at::Tensor rows_are_finite(const at::Tensor& t_BX);

// "nan", "inf" or "-inf": the first value of any tensor that is not finite; "" when all are, and for whole numbers.
// Waits for the device.
std::string first_non_finite(const at::Tensor& t);

}  // namespace hici::ops
