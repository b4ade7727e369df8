// SPDX-License-Identifier: Apache-2.0
// Sizes of models that tests make.
#pragma once

#include "hici/config/hici_config.h"
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

// What RoPE reads of a model, but for the parameters of its type.
inline config::ModelConfig config_with_positions(config::Family family, int64_t positions) {
  config::ModelConfig config;
  config.family = family;
  config.max_position_embeddings = positions;
  return config;
}

// HiCI modules for a model whose width two heads divide.
inline config::HiciConfig tiny_hici(config::CausalMode mode) {
  config::HiciConfig config;
  config.num_local_slots = 3;
  config.global_slots = 2;
  config.num_heads = 2;
  config.bottleneck_dim = 8;
  config.shared_compress_dim = 4;
  config.causal_mode = mode;
  return config;
}

}  // namespace hici::testing
