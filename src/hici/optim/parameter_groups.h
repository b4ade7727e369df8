// SPDX-License-Identifier: Apache-2.0
// Which parameters are trained, and in which of the two groups: HiCI modules (--hici_lr) or the rest (--learning_rate).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace hici::optim {

enum class GroupKind { kHici, kRest };
inline constexpr int kNumGroups = 2;

// A leaf tensor of the model with requires_grad set, under its checkpoint name.
struct TrainedParameter {
  std::string name;
  at::Tensor tensor;
  GroupKind group = GroupKind::kRest;

  // Weight decay goes to matrices only; norms, biases and scalars are left alone, as in transformers' Trainer.
  bool decays() const { return tensor.dim() >= 2; }
};

}  // namespace hici::optim
