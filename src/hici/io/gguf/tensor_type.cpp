// SPDX-License-Identifier: Apache-2.0
#include "hici/io/gguf/tensor_type.h"

#include <ATen/ATen.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace hici::io::gguf {
namespace {

struct Q8Block {
  uint16_t scale;  // the bits of a float16
  int8_t numbers[kQ8Block];
};
static_assert(sizeof(Q8Block) == 34, "a block has no padding");

constexpr float kMostQ8 = 127;

int64_t num_elements(const std::vector<int64_t>& shape) {
  int64_t out = 1;
  for (const int64_t size : shape) out *= size;
  return out;
}

at::ScalarType dtype_of(TensorType type) {
  switch (type) {
    case TensorType::kF16:
      return at::kHalf;
    case TensorType::kBF16:
      return at::kBFloat16;
    case TensorType::kF32:
    case TensorType::kQ8_0:
      return at::kFloat;
  }
  HICI_ASSERT(false, "type ", static_cast<uint32_t>(type));
  return at::kFloat;
}

Q8Block quantized(const float* x) {
  Q8Block block{};
  float largest = 0;
  for (int64_t i = 0; i < kQ8Block; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float scale = largest / kMostQ8, inverse = 1.0F / scale;
  block.scale = c10::Half(scale).x;
  // The least scales have no inverse in float32, and are 0 in float16.
  if (std::isfinite(inverse))
    for (int64_t i = 0; i < kQ8Block; ++i) block.numbers[i] = static_cast<int8_t>(std::round(x[i] * inverse));
  return block;
}

at::Tensor dequantized(const void* bytes, const std::vector<int64_t>& shape) {
  at::Tensor out = at::empty(shape, at::TensorOptions(at::kFloat));
  auto* to = out.mutable_data_ptr<float>();
  const auto* from = static_cast<const std::byte*>(bytes);
  for (int64_t block = 0; block < num_elements(shape) / kQ8Block; ++block) {
    Q8Block stored{};
    std::memcpy(&stored, from + block * static_cast<int64_t>(sizeof stored), sizeof stored);
    const float scale = c10::Half(stored.scale, c10::Half::from_bits());
    for (const int8_t number : stored.numbers) *to++ = static_cast<float>(number) * scale;
  }
  return out;
}

// Half a step of whole numbers, and what the scale's own rounding moves the largest ones; below the least normal
// float16 the scale has a fixed error instead.
at::Tensor q8_rounding_error(const at::Tensor& numbers) {
  std::vector<int64_t> blocks = numbers.sizes().vec();
  blocks.back() /= kQ8Block;
  blocks.push_back(kQ8Block);
  const at::Tensor scale = numbers.reshape(blocks).abs().amax(-1, /*keepdim=*/true).div_(kMostQ8);
  const at::Tensor error = scale * (0.5 + kMostQ8 * 0x1p-11) + kMostQ8 * 0x1p-25;
  return error.expand(blocks).reshape(numbers.sizes());
}

}  // namespace

void check_rows(TensorType type, const std::vector<int64_t>& shape, const std::string& subject) {
  HICI_CHECK(type != TensorType::kQ8_0 || (!shape.empty() && shape.back() % kQ8Block == 0), subject, " has rows of ",
             shape.empty() ? 0 : shape.back(), ", and Q8_0 has blocks of ", kQ8Block, "; use `gguf_type` F16");
}

uint64_t num_bytes(TensorType type, const std::vector<int64_t>& shape) {
  const auto elements = static_cast<uint64_t>(num_elements(shape));
  if (type != TensorType::kQ8_0) return elements * c10::elementSize(dtype_of(type));
  HICI_ASSERT(!shape.empty() && shape.back() % kQ8Block == 0, "rows of ", shape.empty() ? 0 : shape.back());
  return elements / kQ8Block * sizeof(Q8Block);
}

std::vector<std::byte> encode(TensorType type, const at::Tensor& numbers) {
  std::vector<std::byte> out(num_bytes(type, numbers.sizes().vec()));
  const at::Tensor data = numbers.detach().to(at::kCPU, dtype_of(type)).contiguous();
  if (type != TensorType::kQ8_0) {
    std::memcpy(out.data(), data.const_data_ptr(), out.size());
    return out;
  }
  const auto* from = data.const_data_ptr<float>();
  for (size_t at = 0; at < out.size(); at += sizeof(Q8Block), from += kQ8Block) {
    const Q8Block block = quantized(from);
    std::memcpy(out.data() + at, &block, sizeof block);
  }
  return out;
}

at::Tensor decode(TensorType type, const void* bytes, const std::vector<int64_t>& shape) {
  if (type == TensorType::kQ8_0) return dequantized(bytes, shape);
  const at::Tensor stored = at::empty(shape, at::TensorOptions(dtype_of(type)));
  std::memcpy(stored.mutable_data_ptr(), bytes, num_bytes(type, shape));
  return stored.to(at::kFloat);
}

at::Tensor rounding_error(TensorType type, const at::Tensor& numbers) {
  switch (type) {
    case TensorType::kF32:
      return numbers.abs() * 0x1p-24;
    case TensorType::kF16:
      return numbers.abs() * 0x1p-11 + 0x1p-25;  // with fewer digits below the least normal number
    case TensorType::kBF16:
      return numbers.abs() * 0x1p-8;
    case TensorType::kQ8_0:
      return q8_rounding_error(numbers);
  }
  HICI_ASSERT(false, "type ", static_cast<uint32_t>(type));
  return {};
}

}  // namespace hici::io::gguf
