// SPDX-License-Identifier: Apache-2.0
// A decoder of a few thousand random weights, for tests of generation.
#pragma once

#include "hici/nn/causal_lm.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>

#include <vector>

namespace hici::testing {

inline config::ModelConfig tiny_config(config::Family family) {
  return testing::tiny_config(
      {.vocabulary = 61, .hidden = 32, .layers = 3, .heads = 4, .kv_heads = 2, .positions = 256}, family);
}

// Weights large enough that the next token depends on those before it; the same on every device.
inline nn::CausalLm tiny_model(config::Family family, at::ScalarType type, at::Device device = at::kCPU) {
  at::manual_seed(7);
  nn::CausalLm model(tiny_config(family), {type});
  model.visit_parameters([&](const std::string&, at::Tensor& t) {
    t = t.dim() == 1 ? at::rand(t.sizes(), at::kDouble).add_(0.5) : at::randn(t.sizes(), at::kDouble).mul_(0.4);
    t = t.to(device, type);
  });
  return model;
}

// Ids of its vocabulary, `step` apart.
inline std::vector<int64_t> counted_prompt(int64_t length, int64_t step) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back((3 + i * step) % 61);
  return ids;
}

}  // namespace hici::testing
