// SPDX-License-Identifier: Apache-2.0
// Gradients of an optimizer step, summed over its micro-batches: one sum for each trained parameter, in float32
// (float64 for a float64 parameter) whatever the type of the model.
#pragma once

#include "hici/optim/parameter_groups.h"

#include <vector>

namespace hici::train {

class GradientAccumulator {
 public:
  // `storage`: tensors that become the sums, in the order of the parameters; empty: they are made as they are needed.
  explicit GradientAccumulator(std::vector<optim::TrainedParameter> parameters, std::vector<at::Tensor> storage = {});

  // After each backward, of a micro-batch or of a segment of one: adds every .grad to its sum and takes it away. Adding
  // many micro-batches in bf16 would lose most of them. The first .grad of a parameter in float32 or float64 becomes
  // its sum, without a copy, where there is no storage.
  void collect();
  // In the order of the parameters; undefined where a parameter got none.
  const std::vector<at::Tensor>& sums() const { return sums_; }
  // Forgets everything; for the next step, or to drop a step half done.
  void clear();

 private:
  std::vector<optim::TrainedParameter> parameters_;
  std::vector<at::Tensor> storage_;
  std::vector<at::Tensor> sums_;
};

}  // namespace hici::train
