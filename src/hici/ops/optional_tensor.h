// SPDX-License-Identifier: Apache-2.0
// Optional tensors for LibTorch's custom functions, where an undefined at::Tensor is an error.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace hici::ops {

inline std::optional<at::Tensor> optional_tensor(const at::Tensor& t) {
  return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
}

}  // namespace hici::ops
