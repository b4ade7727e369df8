// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/swiglu_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

void swiglu_forward(const at::Tensor& gate, const at::Tensor& up, at::Tensor& y) {
  const c10::cuda::CUDAGuard guard(gate.device());
  HICI_CUDA_CHECK(launch_swiglu_forward(element_type(gate), gate.numel(), gate.const_data_ptr(), up.const_data_ptr(),
                                        y.mutable_data_ptr(), stream_of(gate)));
}

void swiglu_backward(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up, at::Tensor& dgate,
                     at::Tensor& dup) {
  const c10::cuda::CUDAGuard guard(gate.device());
  HICI_CUDA_CHECK(launch_swiglu_backward(element_type(gate), gate.numel(), dy.const_data_ptr(), gate.const_data_ptr(),
                                         up.const_data_ptr(), dgate.mutable_data_ptr(), dup.mutable_data_ptr(),
                                         stream_of(gate)));
}

}  // namespace hici::device::kernels
