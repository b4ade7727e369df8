// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rotary_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

void rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, double sign, at::Tensor& y) {
  const c10::cuda::CUDAGuard guard(x.device());
  const RotaryShape shape{x.size(0), x.size(1), x.size(2), x.size(3), x.stride(0), y.stride(0), cos.size(0)};
  HICI_CUDA_CHECK(launch_rotary(element_type(x), shape, x.const_data_ptr(), cos.const_data_ptr(), sin.const_data_ptr(),
                                sign, y.mutable_data_ptr(), stream_of(x)));
}

}  // namespace hici::device::kernels
