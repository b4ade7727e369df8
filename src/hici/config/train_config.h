// SPDX-License-Identifier: Apache-2.0
// How a model is trained, as plain values; `hici train` binds one option to each. Defaults are the research code's
// where it has one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hici::config {

struct TrainConfig {
  int64_t sequence_length = 8192;  // --model_max_length
  int64_t batch_size = 1;          // --per_device_train_batch_size
  int64_t accumulation_steps = 8;  // --gradient_accumulation_steps
  int64_t max_steps = -1;          // -1: num_train_epochs decides
  double num_epochs = 1;
  double learning_rate = 2e-5;
  double hici_learning_rate = 2e-4;  // --hici_lr
  double weight_decay = 0;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;
  double lora_dropout = 0;  // part of the channels that an adapter does not see (nn/dropout.h)
  int64_t warmup_steps = 20;
  std::optional<double> warmup_ratio = {};        // of all steps, instead of warmup_steps
  std::string schedule = "constant_with_warmup";  // --lr_scheduler_type
  std::string schedule_kwargs = {};  // --lr_scheduler_kwargs, a JSON object; optim::make_schedule() reads it
  double max_grad_norm = 1.0;        // of all gradients; 0: no clipping
  double hici_grad_clip = 0.3;       // of the HiCI gradients, before the other
  int64_t max_nonfinite_steps = 1;
  int64_t logging_steps = 1;
  int64_t save_steps = 500;      // 0: only at the end
  int64_t save_total_limit = 0;  // 0: keep all
  uint64_t seed = 42;
  std::optional<uint64_t> data_seed = {};  // of the order of the data; nullopt: seed
  bool shuffle = true;
  bool stream_segments = false;  // one segment's activations at a time (train/segment_streaming.h)

  int64_t data_processes = 1;  // that take sequences of a step side by side; not an option

  int64_t sequences_per_step() const { return batch_size * accumulation_steps * data_processes; }
  // Optimizer steps over `num_blocks` sequences: max_steps, or the epochs' worth, at least 1.
  int64_t total_steps(int64_t num_blocks) const;
  // Steps of the warm-up in a run of `total_steps`; those of a ratio are rounded up, as in transformers.
  int64_t warmup(int64_t total_steps) const;
  uint64_t order_seed() const { return data_seed.value_or(seed); }
  // Ranges and rules between the values; messages name the options.
  void validate() const;
};

}  // namespace hici::config
