// SPDX-License-Identifier: Apache-2.0
// Products with frozen matrices in 8 bits (float8_e4m3fn): the matrix with a scale for each output channel, quantised
// once; activations with a scale for each row, quantised at each use. No gradients here; ops/lora_linear.h has them.
// On a GPU of capability 8.9 or more the products run in 8 bits; on a CPU the same numbers are multiplied in float32
// (float64 for a float64 model), which is exact but for the order of sums, and slow.
// n rows, K and N widths
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <string>

namespace hici::ops {

struct Fp8Matrix {
  at::Tensor weight;      // [out, in], float8_e4m3fn
  at::Tensor transposed;  // [in, out], the same numbers for the gradient of the input
  at::Tensor scale;       // [out], float32 (float64): what a number of that channel is multiplied by
};

// weight [out, in]; the largest number of each channel becomes the largest of the type, 448.
Fp8Matrix quantise_matrix(const at::Tensor& weight);

struct Fp8Rows {
  at::Tensor rows_nK;   // float8_e4m3fn
  at::Tensor scale_n1;  // float32 (float64)
};

// x [..., K], or [G, S, K] with rows between its segments (front_rows.h); its columns are multiplied by `factor` [K]
// first (undefined: they are not). A row of zeros has scale 1; a row with a number that is not finite gives such
// numbers.
Fp8Rows quantise_rows(const at::Tensor& x, const at::Tensor& factor);

// out = or += (rows matrix^T) times `channel_scale` [N] (undefined: 1), for matrix [N, K]. out [..., N] of n rows, or
// with rows between its segments.
void fp8_product(const at::Tensor& out, const Fp8Rows& rows, const at::Tensor& matrix_NK,
                 const at::Tensor& channel_scale, bool adds);

// Why products in 8 bits cannot run there with matrices of these widths, "" when they can. A GPU wants bfloat16 for the
// rest, and multiples of 16.
std::string why_not_fp8(at::Device device, at::ScalarType type, at::IntArrayRef widths);

}  // namespace hici::ops
