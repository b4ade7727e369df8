// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/linear_cross_entropy_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

void cross_entropy(at::Tensor& logits, const at::Tensor& labels, int64_t ignored, at::Tensor& losses) {
  const c10::cuda::CUDAGuard guard(logits.device());
  HICI_CUDA_CHECK(launch_cross_entropy(element_type(logits), {logits.size(0), logits.size(1)}, ignored,
                                       logits.mutable_data_ptr(), labels.const_data_ptr<int64_t>(),
                                       losses.mutable_data_ptr<float>(), stream_of(logits)));
}

void token_scores(const at::Tensor& logits, const at::Tensor& targets, at::Tensor& log_likelihood, at::Tensor& argmax) {
  const c10::cuda::CUDAGuard guard(logits.device());
  HICI_CUDA_CHECK(launch_token_scores(element_type(logits), {logits.size(0), logits.size(1)}, logits.const_data_ptr(),
                                      targets.const_data_ptr<int64_t>(), log_likelihood.mutable_data_ptr<float>(),
                                      argmax.mutable_data_ptr<int64_t>(), stream_of(logits)));
}

}  // namespace hici::device::kernels
