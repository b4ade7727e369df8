// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/nf4_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

void unpack_nf4(const at::Tensor& codes, const at::Tensor& scales, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(codes.device());
  HICI_CUDA_CHECK(launch_unpack_nf4(element_type(out), scales.numel(), codes.const_data_ptr(),
                                    scales.const_data_ptr<float>(), out.mutable_data_ptr(), stream_of(codes)));
}

}  // namespace hici::device::kernels
