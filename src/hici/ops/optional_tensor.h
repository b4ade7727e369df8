// SPDX-License-Identifier: Apache-2.0
// Tensors that may be missing, in the form that LibTorch's custom functions take: an undefined at::Tensor is an error
// there.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace hici::ops {

inline std::optional<at::Tensor> optional_tensor(const at::Tensor& t) {
  return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
}

}  // namespace hici::ops
