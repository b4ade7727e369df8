// SPDX-License-Identifier: Apache-2.0
// The part of config.json that describes the rotary embedding, in the forms of every transformers release: rope_theta
// beside rope_scaling (4.x), and rope_parameters (5.x). Used by model_config only.
#pragma once

#include "hici/base/json.h"
#include "hici/config/model_config.h"

namespace hici::config {

// `config` is the whole of config.json. Two forms that contradict each other are an error.
RopeConfig parse_rope(const JsonObject& config, int64_t max_position_embeddings);
void validate_rope(const RopeConfig& rope, int64_t head_dim, const std::string& subject);
// Writes both forms of the model's RoPE into a config.json, with the same values.
void put_rope(const ModelConfig& model, nlohmann::json& config);

}  // namespace hici::config
