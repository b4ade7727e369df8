// SPDX-License-Identifier: Apache-2.0
// Frozen matrices in 4 bits: NF4 of QLoRA (arXiv 2305.14314, section 3), in the form of bitsandbytes. Blocks of 64
// values share a scale, their largest magnitude; each value is the nearest of 16 codes times it. With "double
// quantisation" the scales, less their mean, are in 8 bits, in blocks of 256 with a scale each. Unpacked values are
// those of bitsandbytes, bit for bit: codes and scales are multiplied in float32, then rounded to the wanted type. O
// output width, I input width
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace hici::ops {

// Values that share a scale, and scales that share one with double quantisation.
inline constexpr int64_t kNf4Block = 64, kNf4ScaleGroup = 256, kNf4ScaleCodes = 256;

struct Nf4Matrix {
  at::Tensor weight;       // [O, I / 2], uint8: two codes a byte, the first in the upper half
  at::Tensor block_scale;  // [O I / 64], float32, or uint8 with double quantisation
  // With double quantisation [1 + 256 + ceil(O I / 64 / 256)], float32: mean of the scales, the values of the 8-bit
  // codes, scale of each group; else empty.
  at::Tensor scale_groups;
};

inline bool is_nf4(const at::Tensor& weight) { return weight.scalar_type() == at::kByte; }

// weight [O, I], of any floating type; float64 is rounded to float32 first. Blocks are cut from the values in their
// order, row after row.
Nf4Matrix quantise_nf4(const at::Tensor& weight, bool has_double_quantisation);

// [O, I] in `type`, contiguous.
at::Tensor unpack_nf4(const Nf4Matrix& matrix, at::ScalarType type);

// Why matrices of these shapes [O, I] cannot be in 4 bits; empty when they can.
std::string why_not_nf4(const std::vector<std::pair<int64_t, int64_t>>& shapes);

}  // namespace hici::ops
