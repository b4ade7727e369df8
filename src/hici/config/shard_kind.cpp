// SPDX-License-Identifier: Apache-2.0
#include "hici/config/shard_kind.h"

#include "hici/base/error.h"

namespace hici::config {

ShardKind parse_shard_kind(std::string_view name, std::string_view subject) {
  if (name == "none") return ShardKind::kNone;
  HICI_CHECK_USAGE(name == "optimizer", subject, ": unknown '", name, "'; use optimizer or none");
  return ShardKind::kOptimizer;
}

std::string_view name_of(ShardKind kind) { return kind == ShardKind::kNone ? "none" : "optimizer"; }

}  // namespace hici::config
