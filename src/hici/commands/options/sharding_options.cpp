// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/sharding_options.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/commands/options/option_values.h"
#include "hici/plan/memory_plan.h"

namespace hici::commands {

void ShardingOptions::bind(CLI::App& command) {
  with_choices_of<config::ShardKind>(add_option(
      command, "shard", shard,
      "What several processes cut among themselves: optimizer (master weights and moments), full (the layers' "
      "frozen weights too) or none"));
  add_option(command, "shard_group_size", group_size,
             "With --shard full: neighbouring processes that cut the frozen weights, such as those of a node; 0: all",
             kFromZero);
  with_choices(
      add_option(
          command, "offload", offload,
          "A list of weights (frozen weights of the layers) and optimizer (master weights and moments): they wait "
          "in host memory"),
      {"weights", "optimizer"})
      ->expected(1, -1);
}

void ShardingOptions::bind_memory_limit(CLI::App& command) {
  add_option(
      command, "memory_limit", memory_limit,
      "Memory of the GPU that this process may have, in GiB unless a unit says otherwise; default: what is free");
}

config::Sharding ShardingOptions::resolve() const {
  config::Sharding sharding;
  sharding.kind = parse_enum<config::ShardKind>(shard.value, shard.name());
  sharding.group_size = group_size.value;
  HICI_CHECK_USAGE(group_size.value == 0 || sharding.kind == config::ShardKind::kFull, group_size.name(),
                   ": has no effect with --shard ", shard.value, "; leave it out");
  if (!offload.typed() && offload.value.empty()) return sharding;
  for (const std::string& item : list_items(offload.value, offload.name())) {
    HICI_CHECK_USAGE(item == "weights" || item == "optimizer", offload.name(), ": unknown item '", item,
                     "'; use weights, optimizer or weights,optimizer");
    (item == "weights" ? sharding.offload_weights : sharding.offload_optimizer) = true;
  }
  return sharding;
}

void ShardingOptions::keep_on_cpu(config::Sharding& sharding, at::Device device) {
  if (!device.is_cpu() || (!sharding.offload_weights && !sharding.offload_optimizer)) return;
  log_info("--offload: has no effect on a CPU, where everything is in host memory");
  sharding.offload_weights = sharding.offload_optimizer = false;
}

int64_t ShardingOptions::resolve_memory_limit(at::Device device) const {
  if (!memory_limit.typed()) return 0;
  const auto bytes = static_cast<int64_t>(parse_memory(memory_limit.value, memory_limit.name()));
  HICI_CHECK_USAGE(device.is_cuda(), memory_limit.name(), ": ", memory_limit.value,
                   " has no effect on a CPU; leave it out");
  HICI_CHECK_USAGE(bytes > plan::kContextBytes, memory_limit.name(), ": ", human_bytes(bytes),
                   " is less than CUDA itself takes; use more, as in 24GiB");
  return bytes;
}

}  // namespace hici::commands
