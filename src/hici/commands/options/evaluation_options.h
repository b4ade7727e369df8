// SPDX-License-Identifier: Apache-2.0
// Evaluation during training, under the names that transformers' Trainer has.
#pragma once

#include "hici/commands/options/option.h"
#include "hici/train/training_spec.h"

#include <optional>
#include <string>

namespace hici::commands {

struct EvaluationOptions {
  Option<std::string> data_path;
  Option<std::string> split;
  Option<std::string> strategy;
  Option<int64_t> steps{0};
  Option<int64_t> batch_size{0};
  bool on_start = false;
  bool do_eval = false;
  bool loads_best = false;

  void bind(CLI::App& app);
  // nullopt without evaluation. `save_steps`: those in force. Contradictions are usage errors.
  std::optional<train::EvaluationSpec> resolve(int64_t save_steps) const;

 private:
  bool is_asked_for() const;
};

}  // namespace hici::commands
