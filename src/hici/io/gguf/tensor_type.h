// SPDX-License-Identifier: Apache-2.0
// How GGUF stores numbers, as llama.cpp's ggml has it. F32, F16 and BF16 are numbers one by one. Q8_0 is blocks of 32
// numbers of a row: a scale d in float16, then 32 whole numbers q in a byte each; a number is q d. With a the largest
// absolute number of a block d is a / 127 in float32, and q the number times 1 / d, rounded half away from zero; d is
// then rounded to float16 (quantize_row_q8_0_ref, bit for bit).
#pragma once

#include "hici/base/enum_names.h"

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hici::io::gguf {

// The values are those of the format.
enum class TensorType : uint32_t { kF32 = 0, kF16 = 1, kQ8_0 = 8, kBF16 = 30 };

constexpr EnumNames<TensorType, 4> names_of(TensorType) {
  return {"GGUF type",
          {{{TensorType::kF32, "F32"},
            {TensorType::kF16, "F16"},
            {TensorType::kBF16, "BF16"},
            {TensorType::kQ8_0, "Q8_0"}}}};
}

constexpr int64_t kQ8Block = 32;

// An error that begins with `subject` unless rows have whole blocks.
void check_rows(TensorType type, const std::vector<int64_t>& shape, const std::string& subject);

// Of a tensor whose rows have whole blocks.
uint64_t num_bytes(TensorType type, const std::vector<int64_t>& shape);

// `numbers`: any floating type, rows of whole blocks; a copy of all of it in `type` is returned.
std::vector<std::byte> encode(TensorType type, const at::Tensor& numbers);

// The numbers of encode()'s bytes, in float32.
at::Tensor decode(TensorType type, const void* bytes, const std::vector<int64_t>& shape);

// The most by which encode() may move each number of a finite tensor, in the type of `numbers`.
at::Tensor rounding_error(TensorType type, const at::Tensor& numbers);

}  // namespace hici::io::gguf
