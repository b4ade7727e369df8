// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/activation_policy.h"

#include "hici/base/error.h"

namespace hici::nn {

const char* name_of(ActivationPolicy policy) { return kActivationPolicyNames[static_cast<size_t>(policy)]; }

ActivationPolicy parse_activation_policy(std::string_view name, const std::string& subject) {
  for (size_t i = 0; i < kActivationPolicyNames.size(); ++i) {
    if (name == kActivationPolicyNames[i]) return static_cast<ActivationPolicy>(i);
  }
  detail::throw_usage_error(
      detail::concat(subject, ": unknown policy '", name, "'; use auto, keep, recompute_mlp, recompute or offload"));
}

ActivationPolicy policy_of_layer(const ActivationPolicies& policies, size_t layer) {
  if (policies.empty()) return ActivationPolicy::kKeep;
  HICI_ASSERT(layer < policies.size(), "layer ", layer, " of ", policies.size(), " policies");
  return policies[layer];
}

std::string describe(const ActivationPolicies& policies, size_t num_layers) {
  std::array<size_t, kActivationPolicyNames.size()> counts{};
  for (size_t i = 0; i < num_layers; ++i) ++counts[static_cast<size_t>(policy_of_layer(policies, i))];
  std::string text;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    if (counts[i] == num_layers) return kActivationPolicyNames[i];
    text += detail::concat(text.empty() ? "" : ", ", kActivationPolicyNames[i], " ", counts[i]);
  }
  return text;
}

}  // namespace hici::nn
