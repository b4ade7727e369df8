// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/accumulate_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

void accumulate(const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& sums) {
  const c10::cuda::CUDAGuard guard(gradients[0].device());
  AccumulateList list;
  const auto launch = [&] {
    HICI_CUDA_CHECK(launch_accumulate(element_type(gradients[0]), list, stream_of(gradients[0])));
    list = {};
  };
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (list.pairs == AccumulateList::kMaxPairs) launch();
    list.add(gradients[i].const_data_ptr(), sums[i].mutable_data_ptr<float>(), gradients[i].numel());
  }
  launch();
}

}  // namespace hici::device::kernels
