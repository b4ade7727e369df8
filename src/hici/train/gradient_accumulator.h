// SPDX-License-Identifier: Apache-2.0
// Gradients of an optimizer step, summed over its micro-batches: one sum per trained parameter, in float32 for every
// dtype of the model (float64 for a float64 parameter).
#pragma once

#include "hici/optim/parameter_groups.h"

#include <vector>

namespace hici::train {

class GradientAccumulator {
 public:
  // `storage`: tensors for the sums, in the order of the parameters; empty: each sum is allocated with its first .grad.
  explicit GradientAccumulator(std::vector<optim::TrainedParameter> parameters, std::vector<at::Tensor> storage = {});

  // To be called after each backward of a micro-batch or segment. Adds every .grad to its sum and resets it. Sums of
  // many micro-batches in bf16 would lose most of the gradients. Without storage, the first .grad of a float32 or
  // float64 parameter becomes its sum without a copy.
  void collect();
  // In the order of the parameters; undefined for a parameter without a gradient.
  const std::vector<at::Tensor>& sums() const { return sums_; }
  // Drops all sums: for the next step, or to drop an unfinished one.
  void clear();

 private:
  std::vector<optim::TrainedParameter> parameters_;
  std::vector<at::Tensor> storage_;
  std::vector<at::Tensor> sums_;
};

}  // namespace hici::train
