// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/activation_options.h"

#include "hici/base/error.h"
#include "hici/commands/options/option_choices.h"

namespace hici::commands {

using nn::ActivationPolicy;

void ActivationOptions::bind(CLI::App& command) {
  with_choices_of<ActivationPolicy>(
      add_option(
          command, "activation_policy", policy,
          "What a layer keeps for its backward pass: keep = all, recompute_mlp = all but the MLP's, recompute = its "
          "input, offload = its input in host memory; auto = on a GPU the fastest mix that fits, on a CPU keep"),
      {"auto"});
  add_bool(command, "gradient_checkpointing,--activation_checkpointing", gradient_checkpointing,
           "The research code's name: True is --activation_policy recompute, False, where typed, keep");
}

std::optional<ActivationPolicy> ActivationOptions::resolve() const {
  const bool checkpoints = gradient_checkpointing.value;
  std::optional<ActivationPolicy> chosen;
  if (policy.value != "auto") {
    chosen = find_enum<ActivationPolicy>(policy.value);
    HICI_CHECK_USAGE(chosen, policy.name(), ": unknown policy '", policy.value,
                     "'; use auto, keep, recompute_mlp, recompute or offload");
  }
  if (!gradient_checkpointing.typed()) return chosen;
  if (!policy.typed()) return checkpoints ? ActivationPolicy::kRecompute : ActivationPolicy::kKeep;
  const bool agrees = checkpoints == (chosen == ActivationPolicy::kRecompute);
  HICI_CHECK_USAGE(agrees, policy.name(), ": ", policy.value, " contradicts ", gradient_checkpointing.name(), " ",
                   checkpoints ? "True" : "False", "; leave one of them out");
  return chosen;
}

}  // namespace hici::commands
