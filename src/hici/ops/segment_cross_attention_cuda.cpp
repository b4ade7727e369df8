// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_cross_attention_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

void score_gradients(const at::Tensor& weight, const at::Tensor& dweight, at::Tensor& joint) {
  const c10::cuda::CUDAGuard guard(weight.device());
  const ScoresShape shape{weight.size(0), weight.size(1), weight.size(2)};
  HICI_CUDA_CHECK(launch_score_gradients(element_type(weight), shape, weight.const_data_ptr(), dweight.const_data_ptr(),
                                         joint.mutable_data_ptr(), stream_of(weight)));
}

void join_rows(const at::Tensor& dmean, const at::Tensor& queries, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(dmean.device());
  const ScoresShape shape{dmean.size(1), dmean.size(0), dmean.size(2)};
  HICI_CUDA_CHECK(launch_join_rows(element_type(dmean), shape, dmean.const_data_ptr(), queries.const_data_ptr(),
                                   out.mutable_data_ptr(), stream_of(dmean)));
}

}  // namespace hici::device::kernels
