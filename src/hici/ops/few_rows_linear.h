// SPDX-License-Identifier: Apache-2.0
// Linear layers over the few rows of a decode step, on a GPU. No gradients.
#pragma once

#include "hici/ops/lora_linear.h"

#include <vector>

namespace hici::ops {

// Whether few_rows_linears() takes these: at most eight rows of a 16-bit type on a GPU, at most four layers with
// weights of that type, or all in 8 bits, and an input width that is a multiple of 128 bytes. cuBLAS does the others.
bool few_rows_linears_support(const at::Tensor& x, const std::vector<LoraWeights>& layers);

// y_i = x W_i^T + scale_i (x A_i^T) B_i^T as lora_linears(), x [..., in] -> [..., out_i]. Sums in float32 and rounds
// once. All layers are one launch; adapters and 8-bit weights, whose input is quantised, take one more each.
std::vector<at::Tensor> few_rows_linears(const at::Tensor& x, const std::vector<LoraWeights>& layers);

}  // namespace hici::ops
