// SPDX-License-Identifier: Apache-2.0
// Gradients of an optimizer step, summed over its micro-batches in float32 whatever the type of the model.
#pragma once

#include "hici/optim/parameter_groups.h"

#include <vector>

namespace hici::train {

class GradientAccumulator {
 public:
  explicit GradientAccumulator(std::vector<optim::TrainedParameter> parameters);

  // After each backward: of a micro-batch, or of a segment of one. Parameters narrower than float32 hand their .grad
  // over to a float32 sum: adding many micro-batches in bf16 would lose most of them.
  void collect();
  // In the order of the parameters; undefined where a parameter got none.
  std::vector<at::Tensor> gradients() const;
  std::vector<at::Tensor> gradients_of(optim::GroupKind group) const;
  // Forgets everything; for the next step, or to drop a step half done.
  void clear();

 private:
  std::vector<optim::TrainedParameter> parameters_;
  std::vector<at::Tensor> wide_sums_;  // undefined for parameters in float32 or float64
};

}  // namespace hici::train
