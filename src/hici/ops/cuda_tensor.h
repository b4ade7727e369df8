// SPDX-License-Identifier: Apache-2.0
// From tensors to the arguments of a launcher: element type, stream, pointers. A wrapper NAME_cuda.cpp sees tensors and
// launchers; a kernel's file NAME_cuda.cu sees pointers only. Every launcher queues on its stream and returns the
// status.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <stdexcept>
#include <string>

namespace hici::ops::cuda {

inline ElementType element_type(const at::Tensor& t) {
  switch (t.scalar_type()) {
    case at::kFloat:
      return ElementType::kFloat32;
    case at::kBFloat16:
      return ElementType::kBFloat16;
    case at::kHalf:
      return ElementType::kFloat16;
    case at::kDouble:
      return ElementType::kFloat64;
    default:
      throw std::runtime_error(std::string("no CUDA kernel for type ") + c10::toString(t.scalar_type()));
  }
}

inline cudaStream_t stream_of(const at::Tensor& t) { return c10::cuda::getCurrentCUDAStream(t.get_device()).stream(); }

inline const void* data_or_null(const at::Tensor& t) { return t.defined() ? t.const_data_ptr() : nullptr; }

}  // namespace hici::ops::cuda
