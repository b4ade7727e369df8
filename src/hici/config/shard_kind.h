// SPDX-License-Identifier: Apache-2.0
// What the processes of a training run cut among themselves.
#pragma once

#include <string>
#include <string_view>

namespace hici::config {

enum class ShardKind {
  kNone,       // nothing: each process holds all of the optimizer's state, and gradients are summed in all
  kOptimizer,  // float32 master weights and moments, and the sums of gradients that they need
};

// "none" or "optimizer"; an unknown name is a usage error that begins with `subject`.
ShardKind parse_shard_kind(std::string_view name, std::string_view subject);
std::string_view name_of(ShardKind kind);

}  // namespace hici::config
