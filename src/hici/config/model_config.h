// SPDX-License-Identifier: Apache-2.0
// What config.json of a Hugging Face directory says about a Llama or Qwen3 model, as plain values. Everything that
// would change the mathematics and is not supported is an error here, before any weight is looked at.
#pragma once

#include "hici/base/enum_names.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hici::config {

enum class Family { kLlama, kQwen3 };
enum class RopeType { kDefault, kLinear, kLlama3, kYarn, kLongrope };

// The names of config.json.
constexpr EnumNames<Family, 2> names_of(Family) {
  return {"model family", {{{Family::kLlama, "llama"}, {Family::kQwen3, "qwen3"}}}};
}
constexpr EnumNames<RopeType, 5> names_of(RopeType) {
  return {"RoPE type",
          {{{RopeType::kDefault, "default"},
            {RopeType::kLinear, "linear"},
            {RopeType::kLlama3, "llama3"},
            {RopeType::kYarn, "yarn"},
            {RopeType::kLongrope, "longrope"}}}};
}

// Only the fields of its type are looked at; the others keep their defaults.
struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000;
  double factor = 1;                             // linear, llama3, yarn, longrope
  double low_freq_factor = 1;                    // llama3
  double high_freq_factor = 4;                   // llama3
  int64_t original_max_position_embeddings = 0;  // llama3, yarn, longrope: positions of the training before the scaling
  double beta_fast = 32;                         // yarn
  double beta_slow = 1;                          // yarn
  std::optional<double> attention_factor = std::nullopt;  // yarn, longrope
  std::optional<double> mscale = std::nullopt;            // yarn
  std::optional<double> mscale_all_dim = std::nullopt;    // yarn
  bool truncate = true;                                   // yarn
  std::vector<double> pair_factors = {};                  // longrope: divides the frequency of each pair, short = long
  // Linear position interpolation of our own context extension, on top of all of the above (see rope.h).
  double context_factor = 1;
};

struct ModelConfig {
  Family family = Family::kLlama;
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  RopeConfig rope;
  std::string torch_dtype = "float32";
  std::optional<int64_t> bos_token_id = std::nullopt;
  std::vector<int64_t> eos_token_id;
  std::vector<std::string>
      notes;  // what a user should know of the file: other releases read it otherwise, unknown keys
  nlohmann::json source = nlohmann::json::object();  // the file as read: to_json() keeps what it does not know

  // Qwen3: RMSNorm over the head dimension of queries and keys, before the rotary embedding.
  bool qk_norm() const { return family == Family::kQwen3; }
  // Bounds of every size, the products of sizes, and the rules between them. `subject` starts the message.
  void validate(const std::string& subject) const;
  // Number of weights, with a tied lm_head counted once. Valid sizes cannot overflow it.
  int64_t num_parameters() const;
};

// `subject` is the file as the user wrote it. The result is validated.
ModelConfig parse_model_config(const nlohmann::json& json, const std::string& subject);
// DIR/config.json.
ModelConfig read_model_config(const std::filesystem::path& dir);

// config.json in the forms of transformers 4 (rope_theta, rope_scaling) and 5 (rope_parameters) at once, with the same
// values. A context factor becomes part of the linear scaling; on top of llama3 or yarn the frequencies that come out
// are written pair by pair, as type longrope (transformers 4.43 and later).
nlohmann::json to_json(const ModelConfig& config);

}  // namespace hici::config
