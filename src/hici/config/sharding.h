// SPDX-License-Identifier: Apache-2.0
// Where the tensors of a training run are: cut among its processes, or in host memory.
#pragma once

#include "hici/base/enum_names.h"

#include <cstdint>

namespace hici::config {

// What the processes of a training run cut among themselves.
enum class ShardKind {
  kNone,       // nothing: each process holds all of the optimizer's state, and gradients are summed in all
  kOptimizer,  // float32 master weights and moments, and the sums of gradients that they need
  kFull,       // these, and the frozen weights of the layers, which are gathered while a layer is at work
};

constexpr EnumNames<ShardKind, 3> names_of(ShardKind) {
  return {"way to shard",
          {{{ShardKind::kOptimizer, "optimizer"}, {ShardKind::kFull, "full"}, {ShardKind::kNone, "none"}}}};
}

struct Sharding {
  ShardKind kind = ShardKind::kOptimizer;  // --shard
  // --shard_group_size: neighbouring processes that cut the frozen weights of kFull among themselves. 0: all processes.
  int64_t group_size = 0;
  // --offload weights: frozen weights of the layers wait in pinned host memory.
  bool offload_weights = false;
  // --offload optimizer: master weights and moments are in pinned host memory.
  bool offload_optimizer = false;

  // Processes of `world` among which frozen weights are cut; 1: they are whole.
  int64_t weight_processes(int64_t world) const {
    if (kind != ShardKind::kFull) return 1;
    return group_size == 0 ? world : group_size;
  }
  // Whether frozen weights are elsewhere than whole on the device; nothing of that without some.
  bool moves_frozen() const { return kind == ShardKind::kFull || offload_weights; }
};

}  // namespace hici::config
