// SPDX-License-Identifier: Apache-2.0
// The keys that DeepSpeed knows in its file, up to 0.19, and what hici makes of each.
#pragma once

#include "hici/base/json.h"

#include <set>
#include <span>
#include <string>

namespace hici::commands {

enum class DeepspeedRule {
  kRead,      // says something here; deepspeed_file.cpp reads it
  kNeutral,   // changes no number of a run
  kRounding,  // changes rounding alone
  // What changes numbers, or the model, and is not done here:
  kFlag,     // refused when true
  kSection,  // refused when its `enabled` is true
  kPresent,  // refused unless it holds nothing but false, 0, null and "auto"
  kOne,      // a count, refused above 1
  kFloat32,  // a type, refused when it is another than float32
};

struct DeepspeedKey {
  const char* name;
  DeepspeedRule rule = DeepspeedRule::kNeutral;
  const char* way_out = "remove it";
};

using DeepspeedKeys = std::span<const DeepspeedKey>;

DeepspeedKeys deepspeed_top_keys();
DeepspeedKeys deepspeed_zero_keys();       // zero_optimization
DeepspeedKeys deepspeed_offload_keys();    // offload_param and offload_optimizer
DeepspeedKeys deepspeed_bf16_keys();       // bf16, or bfloat16
DeepspeedKeys deepspeed_types_keys();      // data_types
DeepspeedKeys deepspeed_optimizer_keys();  // optimizer
DeepspeedKeys deepspeed_adam_keys();       // optimizer.params

// "auto" is DeepSpeed's and transformers' way to leave a value open.
bool is_said(const JsonObject& object, const std::string& key);

// Usage errors for keys that are unknown, and for those that are refused. Names of neutral ones go into
// `without_meaning`.
void check_deepspeed_keys(const JsonObject& object, DeepspeedKeys known, std::set<std::string>& without_meaning);

}  // namespace hici::commands
