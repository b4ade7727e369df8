// SPDX-License-Identifier: Apache-2.0
// config.json of a model, and what is computed from it before any weight is read.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/base/json.h"
#include "hici/config/model_config.h"
#include "hici/config/rope.h"

#include <cmath>

namespace hici::fuzz {

using config::ModelConfig;

void read_model_config(std::string_view bytes) {
  const ModelConfig config = config::parse_model_config(parse_json(bytes, "config.json"), "config.json");
  require(config.num_parameters() > 0, "a number of weights that overflowed");
  for (const double frequency : config::rope_inverse_frequencies(config.rope, config.head_dim))
    require(std::isfinite(frequency), "a frequency that is not finite");
  require(std::isfinite(config::rope_attention_scale(config.rope)), "an attention scale that is not finite");
  config::context_extension_factor(config, 100'000);
  const ModelConfig again = config::parse_model_config(config::to_json(config), "config.json");
  require(again.num_parameters() == config.num_parameters(), "a config that changes when it is written");
}

namespace {

nlohmann::json small(const char* type) {
  return {{"model_type", type},       {"vocab_size", 61},       {"hidden_size", 32},
          {"intermediate_size", 48},  {"num_hidden_layers", 2}, {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"head_dim", 8},          {"max_position_embeddings", 64},
          {"rms_norm_eps", 1e-5},     {"eos_token_id", {1, 2}}};
}

}  // namespace

std::vector<std::string> model_config_seeds() {
  nlohmann::json llama3 = small("llama"), yarn = small("qwen3"), longrope = small("llama");
  llama3["rope_theta"] = 500000.0;
  llama3["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 8.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0},
                            {"original_max_position_embeddings", 32}};
  yarn["rope_parameters"] = {{"rope_type", "yarn"}, {"rope_theta", 1e6},
                             {"factor", 4.0},       {"beta_fast", 32.0},
                             {"beta_slow", 1.0},    {"attention_factor", 1.1},
                             {"mscale", 1.0},       {"mscale_all_dim", 0.5},
                             {"truncate", false},   {"original_max_position_embeddings", 16}};
  longrope["rope_scaling"] = {{"rope_type", "longrope"},
                              {"short_factor", {1.0, 2.0, 3.5, 4.0}},
                              {"long_factor", {1.0, 2.0, 3.5, 4.0}},
                              {"factor", 4.0},
                              {"original_max_position_embeddings", 16}};
  return {llama3.dump(), yarn.dump(), longrope.dump()};
}

}  // namespace hici::fuzz
