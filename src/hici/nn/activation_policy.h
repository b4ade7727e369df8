// SPDX-License-Identifier: Apache-2.0
// What a layer keeps of its forward pass for its backward pass: memory against work.
#pragma once

#include "hici/base/enum_names.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace hici::nn {

enum class ActivationPolicy {
  kKeep,          // everything that its backward reads
  kRecomputeMlp,  // the attention's part, and the input of the MLP's block (norm, MLP, residual), which runs again
  kRecompute,     // the layer's input; the layer runs again
  kOffload,  // as kRecompute, and the input waits in host memory; on a CPU there is nowhere to go, it is kRecompute
};

constexpr EnumNames<ActivationPolicy, 4> names_of(ActivationPolicy) {
  return {"policy",
          {{{ActivationPolicy::kKeep, "keep"},
            {ActivationPolicy::kRecomputeMlp, "recompute_mlp"},
            {ActivationPolicy::kRecompute, "recompute"},
            {ActivationPolicy::kOffload, "offload"}}}};
}

// One for each layer; empty: keep everywhere.
using ActivationPolicies = std::vector<ActivationPolicy>;

ActivationPolicy policy_of_layer(const ActivationPolicies& policies, size_t layer);

// "recompute", or the counts of a mix in the order of the enum: "keep 10, recompute 22".
std::string describe(const ActivationPolicies& policies, size_t num_layers);

}  // namespace hici::nn
