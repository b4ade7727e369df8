// SPDX-License-Identifier: Apache-2.0
// Which parameters of a model are trained.
#pragma once

#include "hici/nn/causal_lm.h"
#include "hici/optim/parameter_groups.h"

#include <string>
#include <vector>

namespace hici::optim {

struct TrainableSelection {
  bool low_rank = true;  // false: every parameter
  // With low_rank: parameters whose name contains one of these, beside adapters and HiCI modules (--trainable_params).
  std::vector<std::string> name_parts{"embed", "norm"};
};

// Whether a parameter of this name is trained.
bool is_trained(const TrainableSelection& selection, const std::string& name);

// Sets requires_grad on every parameter of the model and returns those that are trained, in the order of the visit.
// Only matrices have weight decay; norms, biases and scalars do not, as in transformers' Trainer.
// A name part that matches no parameter is a usage error: it would have no effect.
std::vector<TrainedParameter> select_trainable(nn::CausalLm& model, const TrainableSelection& selection);

}  // namespace hici::optim
