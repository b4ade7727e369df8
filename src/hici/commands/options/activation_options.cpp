// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/activation_options.h"

#include "hici/base/error.h"

namespace hici::commands {

using nn::ActivationPolicy;

void ActivationOptions::bind(CLI::App& command) {
  app_ = &command;
  add_option(command, "activation_policy", policy,
             "What a layer keeps for its backward pass: keep = all, recompute_mlp = all but the MLP's, recompute = its "
             "input, offload = its input in host memory; auto = on a GPU the fastest mix that fits, on a CPU keep");
  add_bool(command, "gradient_checkpointing", gradient_checkpointing,
           "The research code's name: True is --activation_policy recompute, False, where typed, keep");
}

std::optional<ActivationPolicy> ActivationOptions::resolve() const {
  const bool typed = app_->get_option("--activation_policy")->count() > 0;
  const bool checkpointing_typed = app_->get_option("--gradient_checkpointing")->count() > 0;
  std::optional<ActivationPolicy> chosen;
  if (policy != "auto") chosen = nn::parse_activation_policy(policy, "--activation_policy");
  if (!checkpointing_typed) return chosen;
  if (!typed) return gradient_checkpointing ? ActivationPolicy::kRecompute : ActivationPolicy::kKeep;
  const bool agrees = gradient_checkpointing == (chosen == ActivationPolicy::kRecompute);
  HICI_CHECK_USAGE(agrees, "--activation_policy: ", policy, " contradicts --gradient_checkpointing ",
                   gradient_checkpointing ? "True" : "False", "; leave one of them out");
  return chosen;
}

}  // namespace hici::commands
