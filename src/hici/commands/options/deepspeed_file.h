// SPDX-License-Identifier: Apache-2.0
// A DeepSpeed file, for --deepspeed: what it says about a run.
#pragma once

#include "hici/config/sharding.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>

namespace hici::commands {

// What is not there, null or "auto" is not said.
struct DeepspeedSettings {
  std::optional<config::ShardKind> shard;   // zero_optimization.stage: 0 none, 1 and 2 optimizer, 3 full
  std::optional<int64_t> shard_group_size;  // zero_hpz_partition_size above 1, mics_shard_size above 0; of stage 3
  std::optional<bool> offload_weights;      // offload_param.device is cpu
  std::optional<bool> offload_optimizer;    // offload_optimizer.device is cpu
  std::optional<int64_t> batch_size;        // train_batch_size, of all processes and micro-batches
  std::optional<int64_t> micro_batch_size;  // train_micro_batch_size_per_gpu
  std::optional<int64_t> accumulation_steps;
  std::optional<double> max_grad_norm;  // gradient_clipping; 0: none
  std::optional<double> learning_rate;  // optimizer.params.lr
  std::optional<double> weight_decay;
  std::optional<double> adam_beta1, adam_beta2;  // optimizer.params.betas
  std::optional<double> adam_epsilon;            // optimizer.params.eps
  std::optional<bool> bf16;
  std::set<std::string> without_meaning;  // keys that change no number here
};

// `subject` begins messages: "--deepspeed: ds.json". Whatever is wrong with the file, or cannot be done here, is a
// usage error of one line.
DeepspeedSettings parse_deepspeed(const std::string& text, const std::string& subject);
DeepspeedSettings read_deepspeed_file(const std::filesystem::path& file);

}  // namespace hici::commands
