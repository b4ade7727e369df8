// SPDX-License-Identifier: Apache-2.0
// The MLP down(silu(gate x) * (up x)) over frozen FP8 matrices as one op: SwiGLU and its gradients are written in 8
// bits by what computes them, and never in 16. The numbers are those of lora_linears() and swiglu(), one after the
// other.
#pragma once

#include "hici/ops/lora_linear.h"

namespace hici::ops {

struct MlpWeights {
  LoraWeights gate, up, down;
};

// Whether fp8_mlp() takes these: FP8 matrices without adapters, bfloat16 rows on a GPU, more of them than a decode step
// has (few_rows_linear.h).
bool fp8_mlp_supports(const at::Tensor& x, const MlpWeights& weights);

// x [..., C] -> [..., C]. Keeps the products of gate and up for the backward pass, and no input.
at::Tensor fp8_mlp(const at::Tensor& x, const MlpWeights& weights);

}  // namespace hici::ops
