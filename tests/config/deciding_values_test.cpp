// SPDX-License-Identifier: Apache-2.0
#include "hici/config/deciding_values.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace hici::config {
namespace {

using nlohmann::json;

json small_llama() {
  return {{"model_type", "llama"},      {"vocab_size", 64},       {"hidden_size", 32},
          {"intermediate_size", 48},    {"num_hidden_layers", 2}, {"num_attention_heads", 4},
          {"num_key_value_heads", 2},   {"rms_norm_eps", 1e-5},   {"max_position_embeddings", 128},
          {"tie_word_embeddings", true}};
}

std::map<std::string, std::string> values(const json& config) {
  return deciding_values(parse_model_config(config, "config.json"));
}

json with(const std::string& key, json item) {
  json config = small_llama();
  config[key] = std::move(item);
  return config;
}

TEST(DecidingValuesTest, EveryNumberThatChangesResultsIsThere) {
  const json yarn{{"rope_type", "yarn"}, {"factor", 2.0}};
  json stronger = yarn;
  stronger["beta_fast"] = 16;
  for (const auto& [key, value, name, before, now] :
       std::vector<std::tuple<std::string, json, std::string, std::string, std::string>>{
           {"rms_norm_eps", 1e-6, "rms_norm_eps", "1e-05", "1e-06"},
           {"tie_word_embeddings", false, "tie_word_embeddings", "true", "false"},
           {"num_attention_heads", 8, "num_attention_heads", "4", "8"},
           {"num_key_value_heads", 1, "num_key_value_heads", "2", "1"},
           {"head_dim", 16, "head_dim", "8", "16"},
           {"max_position_embeddings", 256, "max_position_embeddings", "128", "256"},
           {"rope_theta", 500000, "rope_theta", "10000", "500000"},
           {"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}, "rope_type", "default", "linear"},
           {"rope_scaling", yarn, "rope_type", "default", "yarn"}}) {
    EXPECT_EQ(values(small_llama()).at(name), before);
    EXPECT_EQ(values(with(key, value)).at(name), now) << key;
  }
  EXPECT_EQ(values(with("rope_scaling", yarn)).at("beta_fast"), "32");
  EXPECT_EQ(values(with("rope_scaling", stronger)).at("beta_fast"), "16");
}

TEST(DecidingValuesTest, WhatComputesTheSameIsTheSame) {
  const auto plain = values(small_llama());
  for (const auto& [key, value] : std::vector<std::pair<std::string, json>>{
           {"rope_theta", 10000.0},
           {"head_dim", 8},
           {"torch_dtype", "bfloat16"},
           {"attention_bias", false},
           {"hidden_act", "swish"},
           {"use_cache", true},
           {"rope_scaling", {{"type", "linear"}, {"factor", 1.0}}},
           {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 10000}}}})
    EXPECT_EQ(values(with(key, value)), plain) << key;
  const json mscale{{"rope_type", "yarn"}, {"factor", 2.0}, {"mscale", 1.0}, {"mscale_all_dim", 1.0}};
  const json direct{{"rope_type", "yarn"}, {"factor", 2.0}, {"attention_factor", 1.0}};
  EXPECT_EQ(values(with("rope_scaling", mscale)), values(with("rope_scaling", direct)));
}

// hici stretches RoPE by itself where a longer context is asked for; that is no other base.
TEST(DecidingValuesTest, TheContextFactorIsNoPartOfIt) {
  ModelConfig config = parse_model_config(small_llama(), "config.json");
  const auto before = deciding_values(config);
  config.rope.context_factor = 4;
  EXPECT_EQ(deciding_values(config), before);
}

}  // namespace
}  // namespace hici::config
