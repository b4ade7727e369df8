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

// What gradients of this norm are multiplied by.
double clip_factor(double norm, double limit) {
  return limit > 0 && std::isfinite(norm) && norm > limit ? limit / (norm + 1e-6) : 1.0;
}

void scale(const std::vector<at::Tensor>& gradients, double factor) {
  const std::vector<at::Tensor> kept = only_defined(gradients);
  if (factor != 1.0 && !kept.empty()) at::_foreach_mul_(kept, factor);
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
  scale(gradients, clip_factor(norm, limit));
  return norm;
}

GroupedNorms clip_group_then_all(const std::vector<at::Tensor>& group, double group_limit,
                                 const std::vector<at::Tensor>& rest, double limit) {
  GroupedNorms norms{global_norm(group), 0};
  const double group_factor = clip_factor(norms.group, group_limit);
  norms.all = std::hypot(norms.group * group_factor, global_norm(rest));
  const double factor = clip_factor(norms.all, limit);
  scale(group, group_factor * factor);
  scale(rest, factor);
  return norms;
}

}  // namespace hici::optim
