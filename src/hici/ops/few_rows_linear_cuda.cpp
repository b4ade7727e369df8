// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/few_rows_linear_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

void few_rows_linears(const at::Tensor& x, const at::Tensor& x_scale, const std::vector<at::Tensor>& weights,
                      const std::vector<at::Tensor>& channel_scales, const std::vector<at::Tensor>& lows,
                      const std::vector<at::Tensor>& bs, const std::vector<double>& scales,
                      const std::vector<at::Tensor>& outs) {
  const c10::cuda::CUDAGuard guard(x.device());
  const auto floats = [](const at::Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; };
  FewRowsLayers layers{
      x.const_data_ptr(), floats(x_scale), x.size(0), x.size(1), static_cast<int64_t>(weights.size()), {}};
  if (layers.count > kMaxFewRowsLayers) HICI_CUDA_CHECK(cudaErrorInvalidValue);
  for (size_t i = 0; i < weights.size(); ++i) {
    layers.at[i] = {weights[i].const_data_ptr(),
                    floats(channel_scales[i]),
                    outs[i].mutable_data_ptr(),
                    weights[i].size(0),
                    data_or_null(lows[i]),
                    data_or_null(bs[i]),
                    bs[i].defined() ? bs[i].size(1) : 0,
                    static_cast<float>(scales[i])};
  }
  HICI_CUDA_CHECK(launch_few_rows_linears(element_type(outs[0]), layers, stream_of(x)));
}

}  // namespace hici::device::kernels
