// SPDX-License-Identifier: Apache-2.0
// What the processes of a training run cut among themselves.
#pragma once

#include "hici/base/enum_names.h"

namespace hici::config {

enum class ShardKind {
  kNone,       // nothing: each process holds all of the optimizer's state, and gradients are summed in all
  kOptimizer,  // float32 master weights and moments, and the sums of gradients that they need
};

constexpr EnumNames<ShardKind, 2> names_of(ShardKind) {
  return {"way to shard", {{{ShardKind::kOptimizer, "optimizer"}, {ShardKind::kNone, "none"}}}};
}

}  // namespace hici::config
