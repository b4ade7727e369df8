// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/activation_policy.h"

#include "hici/base/error.h"

namespace hici::nn {

ActivationPolicy policy_of_layer(const ActivationPolicies& policies, size_t layer) {
  if (policies.empty()) return ActivationPolicy::kKeep;
  HICI_ASSERT(layer < policies.size(), "layer ", layer, " of ", policies.size(), " policies");
  return policies[layer];
}

std::string describe(const ActivationPolicies& policies, size_t num_layers) {
  std::string text;
  for (const auto& [policy, name] : names_of(ActivationPolicy{}).all) {
    size_t count = 0;
    for (size_t i = 0; i < num_layers; ++i) count += policy_of_layer(policies, i) == policy ? 1 : 0;
    if (count == 0) continue;
    if (count == num_layers) return name;
    text += detail::concat(text.empty() ? "" : ", ", name, " ", count);
  }
  return text;
}

}  // namespace hici::nn
