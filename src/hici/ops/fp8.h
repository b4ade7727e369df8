// SPDX-License-Identifier: Apache-2.0
// FP8 GEMMs (float8_e4m3fn) with frozen weights. A weight is quantised once, with a scale per output channel;
// activations are quantised at each use, with a scale per row. No gradients here; ops/lora_linear.h has them. A GPU of
// capability 8.9 or higher multiplies in FP8. A CPU multiplies the same numbers in float32 (float64 for a float64
// model): exact but for the order of sums, and slow.
// n rows, I input width, O output width
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <string>

namespace hici::ops {

struct Fp8Matrix {
  at::Tensor weight;      // [O, I], float8_e4m3fn
  at::Tensor transposed;  // [I, O], the same numbers for the gradient of the input; empty where none is wanted
  at::Tensor scale;       // [O], float32 (float64): factor that restores the values of a channel
};

// weight [O, I]. Each channel is scaled so that its largest magnitude becomes 448, the largest of the dtype. Without
// `has_backward` the matrix takes half the memory, and no gradient goes through it.
Fp8Matrix quantise_matrix(const at::Tensor& weight, bool has_backward = true);

inline bool is_fp8(const at::Tensor& weight) { return weight.scalar_type() == at::kFloat8_e4m3fn; }

struct Fp8Rows {
  at::Tensor rows_nI;   // float8_e4m3fn
  at::Tensor scale_n1;  // float32 (float64)
};

// x [..., I], or [G, S, I] with row gaps (segment_padding.h). Columns are multiplied by `factor` [I] first, if defined.
// A row of zeros has scale 1. A row with a non-finite number gives non-finite numbers.
Fp8Rows quantise_rows(const at::Tensor& x, const at::Tensor& factor);

// out = or += (rows matrix^T) * channel_scale [O] (undefined: 1), for matrix [O, I]. out [..., O] of n rows, or [G, S,
// O] with row gaps.
void fp8_product(const at::Tensor& out, const Fp8Rows& rows, const at::Tensor& matrix_OI,
                 const at::Tensor& channel_scale, bool accumulate);

// Whether `accumulate` costs no pass of its own on this device.
bool fp8_product_accumulates(c10::Device device);

// Why FP8 GEMMs with matrices of these widths cannot run on `device`; empty when they can. A GPU needs bfloat16 for all
// other tensors, and widths that are multiples of 16.
std::string why_not_fp8(at::Device device, at::ScalarType type, at::IntArrayRef widths);

}  // namespace hici::ops
