// SPDX-License-Identifier: Apache-2.0
// Linear layers with LoRA adapters, several over one input. Reference: linear() of the reference.
// G segments, S tokens per segment
#pragma once

#include "hici/ops/adapter_dropout.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace hici::ops {

struct LoraWeights {
  at::Tensor weight;          // [out, in]; of NF4 [out, in / 2]
  at::Tensor a = {}, b = {};  // [rank, in], [out, rank]; undefined: no adapter
  double scale = 0;
  at::Tensor transposed = {}, channel_scale = {};  // of a frozen FP8 weight (Fp8Matrix of fp8.h), else undefined
  uint64_t dropout_key = 0;                        // of this adapter (adapter_dropout.h)
  at::Tensor block_scale = {}, scale_groups = {};  // of a frozen NF4 weight (Nf4Matrix of nf4.h), else undefined
};

// Memory layout and SM budget of the outputs.
struct LinearLayout {
  bool reserves_sms = false;  // large GEMMs reserve SMs for kernels of other streams (device/sm_carveout.h)
  // With rows_before[i] > 0 output i is [G, S, out_i] for S = segment_length, and each segment has that many free rows
  // before it. Empty: all outputs are contiguous.
  int64_t segment_length = 0;
  std::vector<int64_t> rows_before = {};
};

// y_i = x W_i^T + scale_i (x A_i^T) B_i^T for each layer i: x [..., in] -> [..., out_i]. Hand-written backward. The
// input is saved once; its gradient accumulates inside the GEMMs; the A factors act as one matrix. A weight without
// requires_grad costs nothing, and frozen layers without adapters do not save the input. GEMMs with FP8 weights
// quantise their other operand too, in both passes; NF4 weights are unpacked to the type of x before each GEMM, in both
// passes; adapters are never quantised. x [G, S, in] and gradients [G, S,
// out_i] may have row gaps (segment_padding.h). The gradient of x has as many leading rows as x has gap rows.
//
// With `dropout` adapter i reads x with channels of its own dropped, and the others divided by 1 - rate. Nothing more
// is saved: the backward pass makes the masks again. They cost a pass over x for each adapter and for each of its two
// gradients, some rows at a time.
std::vector<at::Tensor> lora_linears(const at::Tensor& x, const std::vector<LoraWeights>& layers,
                                     const LinearLayout& layout = {}, const AdapterDropout& dropout = {});

// For a chain of small layers that something else waits for: of those that the calling thread queues while this exists,
// the weights' gradients are computed after the backward pass of the whole chain, not one by one between its links.
// Layers of many rows, adapters and frozen weights are as ever. The results are the same.
class LaterWeightGradients {
 public:
  explicit LaterWeightGradients(bool are_wanted = true);
  ~LaterWeightGradients();
  LaterWeightGradients(const LaterWeightGradients&) = delete;
  LaterWeightGradients& operator=(const LaterWeightGradients&) = delete;

 private:
  std::optional<uint64_t> previous_;
};

}  // namespace hici::ops
