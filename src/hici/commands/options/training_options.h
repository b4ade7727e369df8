// SPDX-License-Identifier: Apache-2.0
// What `hici train` and `hici sft` share: every option but those on the data and on how it is cut into segments.
#pragma once

#include "hici/commands/command.h"
#include "hici/commands/options/activation_options.h"
#include "hici/commands/options/base_format_options.h"
#include "hici/commands/options/evaluation_options.h"
#include "hici/commands/options/model_options.h"
#include "hici/commands/options/sample_options.h"
#include "hici/commands/options/sharding_options.h"
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
  Option<std::string> trainable_params{"embed,norm"};
  std::string save_strategy = "steps";
  std::string deepspeed;
  Option<bool> use_attn_init{false};
  Option<bool> full_determinism{false};
  Option<int64_t&> lora_r{spec.lora.rank};
  Option<double&> lora_alpha{spec.lora.alpha};
  Option<bool&> use_rslora{spec.lora.use_rslora};
  Option<std::string> lora_target_modules{"q_proj,k_proj,v_proj,o_proj"};
  Option<std::string> lora_rank_pattern;
  Option<double&> lora_dropout{spec.train.lora_dropout};
  Option<bool&> add_pad_token{spec.add_pad_token};
  Option<bool&> use_llama_init{spec.copy_attention_init};
  Option<int64_t&> batch_size{spec.train.batch_size};
  Option<int64_t&> accumulation_steps{spec.train.accumulation_steps};
  Option<double&> learning_rate{spec.train.learning_rate};
  Option<double&> weight_decay{spec.train.weight_decay};
  Option<double&> adam_beta1{spec.train.adam_beta1};
  Option<double&> adam_beta2{spec.train.adam_beta2};
  Option<double&> adam_epsilon{spec.train.adam_epsilon};
  Option<double&> max_grad_norm{spec.train.max_grad_norm};
  Option<int64_t&> model_max_length{spec.train.sequence_length};
  Option<double> warmup_steps{static_cast<double>(spec.train.warmup_steps)};
  Option<double> warmup_ratio{0};
  Option<uint64_t> data_seed{0};
  Option<int64_t&> save_steps{spec.train.save_steps};
  ActivationOptions activations;
  BaseFormatOptions base_format;
  EvaluationOptions evaluation;
  SampleOptions sample;
  ShardingOptions sharding;
  HiciOptions hici;
  DeviceOptions device;
  CLI::App* declared_in = nullptr;  // the command, for the text of its options

  // -> the option of the data, in whose place a command may have others.
  CLI::Option* bind_model_and_data(CLI::App& app, const std::string& data_help);
  void bind_what_to_train(CLI::App& app);
  void bind_how_to_train(CLI::App& app);
  // The hierarchy, devices and what is accepted without effect.
  void bind_rest(CLI::App& command);

  // Fills `spec` in from what was typed and from the file of --deepspeed. Contradictions are usage errors.
  void resolve();
};

}  // namespace hici::commands
