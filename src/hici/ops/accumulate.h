// SPDX-License-Identifier: Apache-2.0
// Adding gradients to sums of a wider type, all parameters of a model at once.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace hici::ops {

// sums[i] += gradients[i], in the type of the sums: pairs of one shape, all on one device. On a GPU the cost is that of
// reading and writing them once: 16-bit gradients are added to float32 sums without a wide copy, many in one launch.
void accumulate(const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& sums);

}  // namespace hici::ops
