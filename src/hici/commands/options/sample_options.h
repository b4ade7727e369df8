// SPDX-License-Identifier: Apache-2.0
// What the model writes behind a prompt at every evaluation during training.
#pragma once

#include "hici/commands/options/option.h"
#include "hici/train/training_spec.h"

#include <optional>
#include <string>

namespace hici::commands {

struct SampleOptions {
  Option<std::string> prompt;
  Option<int64_t> tokens{64};

  void bind(CLI::App& app);
  // nullopt without a prompt. `spec` is filled in but for `sample`. A run without evaluation, and a model without a
  // tokenizer, are usage errors.
  std::optional<train::SampleSpec> resolve(const train::TrainingRunSpec& spec) const;
};

}  // namespace hici::commands
