// SPDX-License-Identifier: Apache-2.0
// Linear layers with LoRA adapters, several over one input. Reference: linear() of the reference.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace hici::ops {

struct LoraWeights {
  at::Tensor weight;          // [out, in]
  at::Tensor a = {}, b = {};  // [rank, in], [out, rank]; undefined: no adapter
  double scale = 0;
};

// y_i = x W_i^T + scale_i (x A_i^T) B_i^T for each layer i: x [..., in] -> [..., out_i]. The input is kept once, its
// gradient summed inside the products, and the adapters' first factors act as one matrix. Hand-written backward; a
// weight that needs no gradient costs none, and frozen layers without adapters do not keep the input. x [G, S, in] may
// have rows between its segments (front_rows.h); its gradient then has as many in front. With `leaves_room` the large
// products leave a part of a GPU to work beside them (product_room.h).
std::vector<at::Tensor> lora_linears(const at::Tensor& x, const std::vector<LoraWeights>& layers,
                                     bool leaves_room = false);

}  // namespace hici::ops
