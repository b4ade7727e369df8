// SPDX-License-Identifier: Apache-2.0
// The accumulation dtype of an op, which tensors its kernels take, and the names of dtypes in options.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

namespace hici::ops {

// float64 stays float64; everything else accumulates in float32.
inline c10::ScalarType accumulation_type(c10::ScalarType type) {
  return type == c10::ScalarType::Double ? c10::ScalarType::Double : c10::ScalarType::Float;
}

// Whether the kernels of norms and losses take `t`.
inline bool has_kernel(const at::Tensor& t) { return t.is_cuda() && t.scalar_type() != c10::ScalarType::Double; }

// "float32", "bfloat16", "float16", "float64", as in --dtype; LibTorch's name for any other.
inline const char* dtype_name(c10::ScalarType type) {
  if (type == c10::ScalarType::Float) return "float32";
  if (type == c10::ScalarType::BFloat16) return "bfloat16";
  if (type == c10::ScalarType::Half) return "float16";
  return type == c10::ScalarType::Double ? "float64" : c10::toString(type);
}

}  // namespace hici::ops
