// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/accumulate.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"

#include <ATen/ATen.h>

namespace hici::ops {
namespace {

bool kernel_takes(const at::Tensor& gradient, const at::Tensor& sum) {
  const auto type = gradient.scalar_type();
  return gradient.is_cuda() && (type == at::kBFloat16 || type == at::kHalf) && sum.scalar_type() == at::kFloat &&
         gradient.is_contiguous() && sum.is_contiguous();
}

}  // namespace

void accumulate(const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& sums) {
  HICI_ASSERT(gradients.size() == sums.size(), gradients.size(), " gradients, ", sums.size(), " sums");
  std::vector<at::Tensor> kernel_gradients, kernel_sums;
  for (size_t i = 0; i < sums.size(); ++i) {
    HICI_ASSERT(gradients[i].sizes() == sums[i].sizes(), "gradient ", gradients[i].sizes(), " sum ", sums[i].sizes());
    const bool same_type = kernel_gradients.empty() || kernel_gradients[0].scalar_type() == gradients[i].scalar_type();
    if (same_type && kernel_takes(gradients[i], sums[i])) {
      kernel_gradients.push_back(gradients[i]);
      kernel_sums.push_back(sums[i]);
    } else {
      sums[i].add_(gradients[i]);
    }
  }
  if (!kernel_sums.empty()) device::cuda_kernels().accumulate(kernel_gradients, kernel_sums);
}

}  // namespace hici::ops
