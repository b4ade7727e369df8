// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/slot_statistics_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

void slot_statistics(const at::Tensor& x, double norm_floor, double deviation_floor, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(x.device());
  const SlotsShape shape{x.size(0), x.size(1), x.size(2)};
  HICI_CUDA_CHECK(launch_slot_statistics(element_type(x), shape, {norm_floor, deviation_floor}, x.const_data_ptr(),
                                         out.mutable_data_ptr(), stream_of(x)));
}

void slot_statistics_backward(const at::Tensor& dout, const at::Tensor& x, double norm_floor, double deviation_floor,
                              at::Tensor& dx) {
  const c10::cuda::CUDAGuard guard(x.device());
  const SlotsShape shape{x.size(0), x.size(1), x.size(2)};
  HICI_CUDA_CHECK(launch_slot_statistics_backward(element_type(x), shape, {norm_floor, deviation_floor},
                                                  x.const_data_ptr(), dout.const_data_ptr(), dx.mutable_data_ptr(),
                                                  stream_of(x)));
}

}  // namespace hici::device::kernels
