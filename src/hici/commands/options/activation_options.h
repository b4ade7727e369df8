// SPDX-License-Identifier: Apache-2.0
// --activation_policy and the research code's --gradient_checkpointing, which say the same thing.
#pragma once

#include "hici/commands/options/option.h"
#include "hici/nn/activation_policy.h"

#include <optional>
#include <string>

namespace hici::commands {

struct ActivationOptions {
  Option<std::string> policy{"auto"};
  Option<bool> gradient_checkpointing{false};

  void bind(CLI::App& command);
  // nullopt is auto. --gradient_checkpointing alone decides where it was typed: True is recompute, False is keep. Both
  // typed must agree.
  std::optional<nn::ActivationPolicy> resolve() const;
};

}  // namespace hici::commands
