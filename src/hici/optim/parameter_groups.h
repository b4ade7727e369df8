// SPDX-License-Identifier: Apache-2.0
// Which parameters are trained, and in which of the two groups: HiCI modules (--hici_lr) or the rest (--learning_rate).
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

namespace hici::optim {

enum class GroupKind { kHici, kRest };
inline constexpr int kNumGroups = 2;

// Tensors by group, indexed by GroupKind: gradients in the order of the parameters, undefined for a missing gradient.
using GroupedTensors = std::array<std::vector<at::Tensor>, kNumGroups>;

// A leaf tensor of the model with requires_grad set, under its checkpoint name. `decays` is set at selection and does
// not follow from the shape here: a matrix cut into flat shards has one dimension and still decays.
struct TrainedParameter {
  std::string name;
  at::Tensor tensor;
  GroupKind group = GroupKind::kRest;
  bool decays = false;  // by --weight_decay
};

// `tensors` are in the order of `parameters`.
inline GroupedTensors by_group(const std::vector<TrainedParameter>& parameters,
                               const std::vector<at::Tensor>& tensors) {
  GroupedTensors grouped;
  for (size_t i = 0; i < parameters.size(); ++i)
    grouped[static_cast<size_t>(parameters[i].group)].push_back(tensors[i]);
  return grouped;
}

}  // namespace hici::optim
