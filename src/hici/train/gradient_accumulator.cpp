// SPDX-License-Identifier: Apache-2.0
#include "hici/train/gradient_accumulator.h"

#include "hici/ops/accumulate.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace hici::train {
namespace {

bool is_narrow(const at::Tensor& t) { return t.scalar_type() != ops::accumulation_type(t.scalar_type()); }

}  // namespace

GradientAccumulator::GradientAccumulator(std::vector<optim::TrainedParameter> parameters)
    : parameters_(std::move(parameters)), wide_sums_(parameters_.size()) {}

void GradientAccumulator::collect() {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients, sums, first_gradients, first_sums;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& tensor = parameters_[i].tensor;
    if (!is_narrow(tensor) || !tensor.grad().defined()) continue;
    const bool is_first = !wide_sums_[i].defined();
    if (is_first) wide_sums_[i] = at::empty(tensor.sizes(), tensor.options().dtype(at::kFloat));
    (is_first ? first_gradients : gradients).push_back(tensor.grad());
    (is_first ? first_sums : sums).push_back(wide_sums_[i]);
    tensor.mutable_grad().reset();
  }
  if (!first_sums.empty()) at::_foreach_copy_(first_sums, first_gradients);
  ops::accumulate(gradients, sums);
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
