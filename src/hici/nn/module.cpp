// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/module.h"

#include <ATen/ATen.h>

namespace hici::nn {

at::Tensor meta_parameter(at::IntArrayRef shape, const ParameterOptions& options) {
  return at::empty(shape, at::TensorOptions().dtype(options.dtype).device(at::kMeta));
}

}  // namespace hici::nn
