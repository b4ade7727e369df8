// SPDX-License-Identifier: Apache-2.0
// Sizes of models that tests make.
#pragma once

#include "hici/config/model_config.h"

namespace hici::testing {

struct TinySizes {
  int64_t vocabulary = 32;
  int64_t hidden = 16;
  int64_t layers = 2;
  int64_t heads = 2;
  int64_t kv_heads = 2;
  int64_t positions = 64;
};

// With heads that fill the width of the model, and an MLP half as wide again.
inline config::ModelConfig tiny_config(const TinySizes& sizes, config::Family family = config::Family::kLlama) {
  config::ModelConfig config;
  config.family = family;
  config.vocab_size = sizes.vocabulary;
  config.hidden_size = sizes.hidden;
  config.intermediate_size = sizes.hidden * 3 / 2;
  config.num_hidden_layers = sizes.layers;
  config.num_attention_heads = sizes.heads;
  config.num_key_value_heads = sizes.kv_heads;
  config.head_dim = sizes.hidden / sizes.heads;
  config.max_position_embeddings = sizes.positions;
  return config;
}

}  // namespace hici::testing
