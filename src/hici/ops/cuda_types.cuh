// SPDX-License-Identifier: Apache-2.0
// Element types of the kernels: how they are widened, narrowed and dispatched.
#pragma once

#include "hici/ops/cuda_launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace hici::ops::cuda {

// The type in which a kernel computes.
template <typename T>
struct Accumulation {
  using type = float;
};
template <>
struct Accumulation<double> {
  using type = double;
};
template <typename T>
using Wide = typename Accumulation<T>::type;

// Calls f with a null pointer of the element type, so that a lambda can name the type.
template <typename F>
cudaError_t dispatch(ElementType type, F&& f) {
  switch (type) {
    case ElementType::kFloat32:
      return f(static_cast<float*>(nullptr));
    case ElementType::kBFloat16:
      return f(static_cast<__nv_bfloat16*>(nullptr));
    case ElementType::kFloat16:
      return f(static_cast<__half*>(nullptr));
    case ElementType::kFloat64:
      return f(static_cast<double*>(nullptr));
  }
  return cudaErrorInvalidValue;
}

}  // namespace hici::ops::cuda
