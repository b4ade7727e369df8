// SPDX-License-Identifier: Apache-2.0
#include "hici/train/trainable.h"

#include "hici/base/error.h"
#include "hici/config/parameter_names.h"

#include <algorithm>
#include <set>

namespace hici::train {

std::vector<optim::TrainedParameter> select_trainable(nn::CausalLm& model, const TrainableSelection& selection) {
  std::vector<optim::TrainedParameter> trained;
  std::set<std::string> unmatched(selection.name_parts.begin(), selection.name_parts.end());
  model.visit_parameters([&](const std::string& name, at::Tensor& parameter) {
    const bool is_hici = config::is_hici_parameter(name);
    bool selected = !selection.low_rank || is_hici || config::is_lora_parameter(name);
    for (const std::string& part : selection.name_parts) {
      if (name.find(part) == std::string::npos) continue;
      unmatched.erase(part);
      selected = true;
    }
    parameter.requires_grad_(selected);
    if (selected) trained.push_back({name, parameter, is_hici ? optim::GroupKind::kHici : optim::GroupKind::kRest});
  });
  HICI_CHECK_USAGE(!selection.low_rank || unmatched.empty(), "--trainable_params: '",
                   unmatched.empty() ? "" : *unmatched.begin(),
                   "' is part of no parameter's name; known parts are embed, norm, lm_head, mlp, self_attn, ...");
  return trained;
}

}  // namespace hici::train
