// SPDX-License-Identifier: Apache-2.0
#include "hici/train/gradient_accumulator.h"

#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace hici::train {
namespace {

constexpr int64_t kSmall = int64_t{1} << 22;  // elements; a wide copy of larger ones would cost memory and time

bool is_narrow(const at::Tensor& t) { return t.scalar_type() != ops::accumulation_type(t.scalar_type()); }

}  // namespace

GradientAccumulator::GradientAccumulator(std::vector<optim::TrainedParameter> parameters)
    : parameters_(std::move(parameters)), wide_sums_(parameters_.size()) {}

void GradientAccumulator::collect() {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> sums, widened, narrow;  // the small ones: a few launches for hundreds of tensors
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& tensor = parameters_[i].tensor;
    if (!is_narrow(tensor) || !tensor.grad().defined()) continue;
    const at::Tensor gradient = tensor.grad();
    tensor.mutable_grad().reset();
    if (!wide_sums_[i].defined()) wide_sums_[i] = at::zeros(gradient.sizes(), gradient.options().dtype(at::kFloat));
    if (gradient.numel() > kSmall) {
      wide_sums_[i].add_(gradient);
      continue;
    }
    sums.push_back(wide_sums_[i]);
    widened.push_back(at::empty_like(wide_sums_[i]));
    narrow.push_back(gradient);
  }
  if (sums.empty()) return;
  at::_foreach_copy_(widened, narrow);
  at::_foreach_add_(sums, widened);
}

std::vector<at::Tensor> GradientAccumulator::gradients() const {
  std::vector<at::Tensor> all;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    all.push_back(is_narrow(parameters_[i].tensor) ? wide_sums_[i] : parameters_[i].tensor.grad());
  }
  return all;
}

std::vector<at::Tensor> GradientAccumulator::gradients_of(optim::GroupKind group) const {
  const std::vector<at::Tensor> all = gradients();
  std::vector<at::Tensor> kept;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].group == group) kept.push_back(all[i]);
  }
  return kept;
}

void GradientAccumulator::clear() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].tensor.mutable_grad().reset();
    wide_sums_[i].reset();
  }
}

}  // namespace hici::train
