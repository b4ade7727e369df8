// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/sharding_options.h"

#include "hici/base/error.h"
#include "hici/commands/options/option_values.h"

namespace hici::commands {

void ShardingOptions::bind(CLI::App& command) {
  add_option(command, "shard", shard,
             "What several processes cut among themselves: optimizer (master weights and moments), full (the layers' "
             "frozen weights too) or none");
  add_option(command, "shard_group_size", group_size,
             "With --shard full: neighbouring processes that cut the frozen weights, such as those of a node; 0: all",
             kFromZero);
  add_option(command, "offload", offload,
             "A list of weights (frozen weights of the layers) and optimizer (master weights and moments): they wait "
             "in host memory")
      ->expected(1, -1);
}

config::Sharding ShardingOptions::resolve() const {
  config::Sharding sharding;
  sharding.kind = parse_enum<config::ShardKind>(shard.value, shard.name());
  sharding.group_size = group_size.value;
  HICI_CHECK_USAGE(group_size.value == 0 || sharding.kind == config::ShardKind::kFull, group_size.name(),
                   ": has no effect with --shard ", shard.value, "; leave it out");
  if (!offload.typed()) return sharding;
  for (const std::string& item : list_items(offload.value, offload.name())) {
    HICI_CHECK_USAGE(item == "weights" || item == "optimizer", offload.name(), ": unknown item '", item,
                     "'; use weights, optimizer or weights,optimizer");
    (item == "weights" ? sharding.offload_weights : sharding.offload_optimizer) = true;
  }
  return sharding;
}

}  // namespace hici::commands
