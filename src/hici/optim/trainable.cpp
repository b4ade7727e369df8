// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/trainable.h"

#include "hici/base/error.h"
#include "hici/config/parameter_names.h"

#include <algorithm>
#include <set>

namespace hici::optim {

std::vector<TrainedParameter> select_trainable(nn::CausalLm& model, const TrainableSelection& selection) {
  std::vector<TrainedParameter> trained;
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
    if (!selected) return;
    const bool is_matrix = parameter.dim() >= 2;
    trained.push_back({name, parameter, is_hici ? GroupKind::kHici : GroupKind::kRest, is_matrix});
  });
  HICI_CHECK_USAGE(!selection.low_rank || unmatched.empty(), "`trainable_params`: '",
                   unmatched.empty() ? "" : *unmatched.begin(),
                   "' is part of no parameter's name; known parts are embed, norm, lm_head, mlp, self_attn, ...");
  return trained;
}

}  // namespace hici::optim
