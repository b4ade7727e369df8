// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/lora_linear_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

#include <ATen/ops/empty.h>

namespace hici::device::kernels {

using namespace ops::cuda;

bool lora_backward(const at::Tensor& d, const at::Tensor& low, const at::Tensor& b, double scale, at::Tensor& dlow,
                   at::Tensor& db) {
  const LoraShape shape{d.size(0), d.size(1), d.size(2), b.size(1), d.stride(0), low.stride(0)};
  if (dlow.stride(0) != low.stride(0) ||
      !lora_backward_supports(element_type(d), shape, d.const_data_ptr(), low.const_data_ptr(), b.const_data_ptr()))
    return false;
  const c10::cuda::CUDAGuard guard(d.device());
  const LoraParts parts = lora_parts(shape);
  const auto options = d.options().dtype(at::kFloat);
  at::Tensor dlow_parts = at::empty({parts.dlow, dlow.size(0), shape.rank}, options);
  at::Tensor db_parts = at::empty({parts.db, shape.columns, shape.rank}, options);
  const LoraBackward pointers{d.const_data_ptr(),
                              low.const_data_ptr(),
                              b.const_data_ptr(),
                              static_cast<float>(scale),
                              dlow_parts.mutable_data_ptr<float>(),
                              db_parts.mutable_data_ptr<float>(),
                              dlow.mutable_data_ptr(),
                              db.mutable_data_ptr()};
  HICI_CUDA_CHECK(launch_lora_backward(element_type(d), shape, pointers, stream_of(d)));
  return true;
}

}  // namespace hici::device::kernels
