// SPDX-License-Identifier: Apache-2.0
// Gradient accumulation in a larger dtype, all parameters of a model in one call.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace hici::ops {

// sums[i] += gradients[i] in the dtype of the sums. Each pair has one shape; all tensors are on one device. On a GPU
// 16-bit gradients are added to float32 sums in few launches and without a float32 copy.
void accumulate(const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& sums);

}  // namespace hici::ops
