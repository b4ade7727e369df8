// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/clip.h"

#include <ATen/ATen.h>

#include <cmath>

namespace hici::optim {
namespace {

std::vector<at::Tensor> only_defined(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> kept;
  for (const at::Tensor& t : tensors) {
    if (t.defined()) kept.push_back(t);
  }
  return kept;
}

}  // namespace

double global_norm(const std::vector<at::Tensor>& gradients) {
  const std::vector<at::Tensor> kept = only_defined(gradients);
  if (kept.empty()) return 0;
  // Norms of the tensors on the device, one transfer, the sum of squares in double.
  const at::Tensor norms = at::stack(at::_foreach_norm(kept)).to(at::kCPU, at::kDouble);
  return std::sqrt(norms.square().sum().item<double>());
}

double clip_to_norm(const std::vector<at::Tensor>& gradients, double limit) {
  const double norm = global_norm(gradients);
  if (limit > 0 && std::isfinite(norm) && norm > limit)
    at::_foreach_mul_(only_defined(gradients), limit / (norm + 1e-6));
  return norm;
}

}  // namespace hici::optim
