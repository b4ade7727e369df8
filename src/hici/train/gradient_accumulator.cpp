// SPDX-License-Identifier: Apache-2.0
#include "hici/train/gradient_accumulator.h"

#include "hici/base/error.h"
#include "hici/ops/accumulate.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

namespace hici::train {

GradientAccumulator::GradientAccumulator(std::vector<optim::TrainedParameter> parameters,
                                         std::vector<at::Tensor> storage)
    : parameters_(std::move(parameters)), storage_(std::move(storage)), sums_(parameters_.size()) {
  HICI_ASSERT(storage_.empty() || storage_.size() == sums_.size(), storage_.size(), " of ", sums_.size());
}

void GradientAccumulator::collect() {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients, sums, first_gradients, first_sums;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor gradient = std::exchange(parameters_[i].tensor.mutable_grad(), at::Tensor());
    if (!gradient.defined()) continue;
    const auto type = ops::accumulation_type(gradient.scalar_type());
    const bool is_first = !sums_[i].defined();
    if (is_first && storage_.empty() && gradient.scalar_type() == type) {
      sums_[i] = std::move(gradient);
      continue;
    }
    if (is_first)
      sums_[i] = storage_.empty() ? at::empty(gradient.sizes(), gradient.options().dtype(type)) : storage_[i];
    (is_first ? first_sums : sums).push_back(sums_[i]);
    (is_first ? first_gradients : gradients).push_back(std::move(gradient));
  }
  if (!first_sums.empty()) at::_foreach_copy_(first_sums, first_gradients);
  ops::accumulate(gradients, sums);
}

void GradientAccumulator::clear() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].tensor.mutable_grad().reset();
    sums_[i].reset();
  }
}

}  // namespace hici::train
