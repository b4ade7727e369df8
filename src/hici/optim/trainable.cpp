// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/trainable.h"

#include "hici/base/error.h"
#include "hici/config/parameter_names.h"

#include <algorithm>
#include <set>

namespace hici::optim {

bool is_trained(const TrainableSelection& selection, const std::string& name) {
  return !selection.low_rank || config::is_hici_parameter(name) || config::is_lora_parameter(name) ||
         std::any_of(selection.name_parts.begin(), selection.name_parts.end(),
                     [&](const std::string& part) { return name.find(part) != std::string::npos; });
}

std::vector<TrainedParameter> select_trainable(nn::CausalLm& model, const TrainableSelection& selection) {
  std::vector<TrainedParameter> trained;
  std::set<std::string> unmatched(selection.name_parts.begin(), selection.name_parts.end());
  model.visit_parameters([&](const std::string& name, at::Tensor& parameter) {
    std::erase_if(unmatched, [&](const std::string& part) { return name.find(part) != std::string::npos; });
    const bool selected = is_trained(selection, name);
    parameter.requires_grad_(selected);
    if (!selected) return;
    const bool is_matrix = parameter.dim() >= 2;
    trained.push_back(
        {name, parameter, config::is_hici_parameter(name) ? GroupKind::kHici : GroupKind::kRest, is_matrix});
  });
  HICI_CHECK_USAGE(!selection.low_rank || unmatched.empty(), "`trainable_params`: '",
                   unmatched.empty() ? "" : *unmatched.begin(),
                   "' is part of no parameter's name; known parts are embed, norm, lm_head, mlp, self_attn, ...");
  return trained;
}

}  // namespace hici::optim
