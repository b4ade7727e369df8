// SPDX-License-Identifier: Apache-2.0
// What `hici train` and `hici sft` share: every option but those on the data and on how it is cut into segments.
#pragma once

#include "hici/commands/command.h"
#include "hici/commands/options/activation_options.h"
#include "hici/commands/options/model_options.h"
#include "hici/train/training_run.h"

#include <string>

namespace hici::commands {

struct TrainingOptions {
  train::TrainingRunSpec spec;
  std::string model;
  std::string output_dir;
  std::string data_path;
  std::string init_adapter;
  std::string attention = "hici";
  std::string trainable_params = "embed,norm";
  std::string save_strategy = "steps";
  std::string deepspeed;
  std::string shard = "optimizer";
  bool use_attn_init = false;
  ActivationOptions activations;
  HiciOptions hici;
  DeviceOptions device;

  void bind_model_and_data(CLI::App& app, const std::string& data_help);
  void bind_what_to_train(CLI::App& app);
  void bind_how_to_train(CLI::App& app);
  // The hierarchy, devices and what is accepted without effect.
  void bind_rest(CLI::App& app);

  // Fills `spec` in from what was typed, except spec.resolve_hici. Contradictions are usage errors.
  void resolve();
};

}  // namespace hici::commands
