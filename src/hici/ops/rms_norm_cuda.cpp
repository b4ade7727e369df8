// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rms_norm_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

#include <ATen/ops/empty.h>

namespace hici::device::kernels {

using namespace ops::cuda;

void rms_norm_forward(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps,
                      at::Tensor& sum, at::Tensor& normed, at::Tensor& rstd) {
  const c10::cuda::CUDAGuard guard(x.device());
  const RmsNormForward pointers{x.const_data_ptr(),
                                data_or_null(delta),
                                weight.const_data_ptr(),
                                eps,
                                delta.defined() ? sum.mutable_data_ptr() : nullptr,
                                normed.mutable_data_ptr(),
                                rstd.mutable_data_ptr<float>()};
  const RmsNormShape shape{x.numel() / x.size(-1), x.size(-1)};
  HICI_CUDA_CHECK(launch_rms_norm_forward(element_type(x), shape, pointers, stream_of(x)));
}

void rms_norm_backward(const at::Tensor& dnormed, const at::Tensor& dnormed2, const at::Tensor& dsum,
                       const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd, at::Tensor& dx,
                       at::Tensor& dweight) {
  const c10::cuda::CUDAGuard guard(x.device());
  const RmsNormShape shape{x.numel() / x.size(-1), x.size(-1)};
  at::Tensor parts = at::empty({rms_norm_parts(shape), shape.width}, dweight.options());
  const RmsNormBackward pointers{dnormed.const_data_ptr(),
                                 data_or_null(dnormed2),
                                 data_or_null(dsum),
                                 x.const_data_ptr(),
                                 weight.const_data_ptr(),
                                 rstd.const_data_ptr<float>(),
                                 dx.mutable_data_ptr(),
                                 dweight.mutable_data_ptr<float>(),
                                 parts.mutable_data_ptr<float>()};
  HICI_CUDA_CHECK(launch_rms_norm_backward(element_type(x), shape, pointers, stream_of(x)));
}

}  // namespace hici::device::kernels
