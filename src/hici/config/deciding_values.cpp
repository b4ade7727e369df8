// SPDX-License-Identifier: Apache-2.0
#include "hici/config/deciding_values.h"

#include "hici/base/human.h"
#include "hici/base/sha256.h"
#include "hici/config/rope.h"

namespace hici::config {
namespace {

using Values = std::map<std::string, std::string>;

void add_scaling(const RopeConfig& rope, Values& values) {
  values["rope_type"] = name_of(rope.type);
  if (rope.type == RopeType::kLongrope) {
    std::string lines;
    for (const double factor : rope.pair_factors) lines += shortest_number(factor) + "\n";
    values["short_factor"] = "a list of SHA-256 " + sha256_hex(lines).substr(0, 12) + "...";
  } else {
    values["rope_factor"] = shortest_number(rope.factor);
  }
  if (rope.type == RopeType::kLinear) return;
  values["original_max_position_embeddings"] = std::to_string(rope.original_max_position_embeddings);
  if (rope.type == RopeType::kLlama3) {
    values["low_freq_factor"] = shortest_number(rope.low_freq_factor);
    values["high_freq_factor"] = shortest_number(rope.high_freq_factor);
    return;
  }
  values["attention_factor"] = shortest_number(rope_attention_scale(rope));  // mscale is another way to say it
  if (rope.type == RopeType::kLongrope) return;
  values["beta_fast"] = shortest_number(rope.beta_fast);
  values["beta_slow"] = shortest_number(rope.beta_slow);
  values["truncate"] = rope.truncate ? "true" : "false";
}

}  // namespace

std::map<std::string, std::string> deciding_values(const ModelConfig& config) {
  Values values{{"model_type", name_of(config.family)},
                {"num_attention_heads", std::to_string(config.num_attention_heads)},
                {"num_key_value_heads", std::to_string(config.num_key_value_heads)},
                {"head_dim", std::to_string(config.head_dim)},
                {"max_position_embeddings", std::to_string(config.max_position_embeddings)},
                {"rms_norm_eps", shortest_number(config.rms_norm_eps)},
                {"tie_word_embeddings", config.tie_word_embeddings ? "true" : "false"},
                {"rope_theta", shortest_number(config.rope.theta)}};
  const bool is_plain =
      config.rope.type == RopeType::kDefault || (config.rope.type == RopeType::kLinear && config.rope.factor == 1);
  if (is_plain) {
    values["rope_type"] = name_of(RopeType::kDefault);
  } else {
    add_scaling(config.rope, values);
  }
  return values;
}

}  // namespace hici::config
