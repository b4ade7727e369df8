// SPDX-License-Identifier: Apache-2.0
// --shard, --shard_group_size, --offload and --memory_limit: where the tensors of a training step are.
#pragma once

#include "hici/commands/options/option.h"
#include "hici/config/sharding.h"

#include <c10/core/Device.h>

#include <string>
#include <vector>

namespace hici::commands {

struct ShardingOptions {
  Option<std::string> shard{"optimizer"};
  Option<int64_t> group_size{0};
  Option<std::vector<std::string>> offload;
  Option<std::string> memory_limit{""};

  void bind(CLI::App& command);
  void bind_memory_limit(CLI::App& command);
  // Contradictions among them are usage errors.
  config::Sharding resolve() const;
  // On a CPU everything is in host memory: a line says that offloading has no effect there, and `sharding` has none.
  static void keep_on_cpu(config::Sharding& sharding, at::Device device);
  // Bytes; 0: not typed.
  int64_t resolve_memory_limit(at::Device device) const;
};

}  // namespace hici::commands
