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
  at::Tensor transposed = {}, channel_scale = {};  // of a frozen weight in 8 bits (fp8.h), else undefined
};

// How the outputs are made.
struct LinearLayout {
  bool leaves_room = false;  // large products leave a part of a GPU to work beside them (product_room.h)
  // With rows_before[i] > 0, output i is [G, S, out_i]: segments of S = segment_length rows, before each of which that
  // many rows are free. Empty: no such output.
  int64_t segment_length = 0;
  std::vector<int64_t> rows_before = {};
};

// y_i = x W_i^T + scale_i (x A_i^T) B_i^T for each layer i: x [..., in] -> [..., out_i]. The input is kept once, its
// gradient summed inside the products, and the adapters' first factors act as one matrix. Hand-written backward; a
// weight that needs no gradient costs none, and frozen layers without adapters do not keep the input. The products with
// weights in 8 bits, forward and backward, have their other side in 8 bits too; adapters never. x [G, S, in] and
// gradients [G, S, out_i] may have rows between their segments (front_rows.h); the gradient of such an x has as many in
// front.
std::vector<at::Tensor> lora_linears(const at::Tensor& x, const std::vector<LoraWeights>& layers,
                                     const LinearLayout& layout = {});

}  // namespace hici::ops
