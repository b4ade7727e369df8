// SPDX-License-Identifier: Apache-2.0
// --shard, --shard_group_size and --offload: where the tensors of a training step are.
#pragma once

#include "hici/commands/options/option.h"
#include "hici/config/sharding.h"

#include <string>
#include <vector>

namespace hici::commands {

struct ShardingOptions {
  Option<std::string> shard{"optimizer"};
  Option<int64_t> group_size{0};
  Option<std::vector<std::string>> offload;

  void bind(CLI::App& command);
  // Contradictions among them are usage errors.
  config::Sharding resolve() const;
};

}  // namespace hici::commands
