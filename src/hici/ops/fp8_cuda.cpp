// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/fp8_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

void quantise_rows(const at::Tensor& x, const at::Tensor& factor, at::Tensor& rows, at::Tensor& scale) {
  const c10::cuda::CUDAGuard guard(x.device());
  const QuantiseShape shape{x.size(0), x.size(1), x.size(2), x.stride(0)};
  const float* factor_data = factor.defined() ? factor.const_data_ptr<float>() : nullptr;
  HICI_CUDA_CHECK(launch_quantise_rows(element_type(x), shape, x.const_data_ptr(), factor_data, rows.mutable_data_ptr(),
                                       scale.mutable_data_ptr<float>(), stream_of(x)));
}

}  // namespace hici::device::kernels
