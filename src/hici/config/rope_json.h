// SPDX-License-Identifier: Apache-2.0
// The part of config.json that describes the rotary embedding, in the forms of every transformers release: rope_theta
// beside rope_scaling (4.x), and rope_parameters (5.x). Used by model_config only.
#pragma once

#include "hici/base/json.h"
#include "hici/config/model_config.h"

#include <string>
#include <vector>

namespace hici::config {

// `config` is the whole of config.json. What it says is taken as transformers 5 takes it: rope_scaling before
// rope_parameters, the theta inside before that beside it, original_max_position_embeddings beside it before that
// inside. `notes` receives a sentence where transformers 4.51 makes something else of the file, and where its two forms
// differ. The result is validated.
RopeConfig parse_rope(const JsonObject& config, int64_t max_position_embeddings, int64_t head_dim,
                      std::vector<std::string>& notes);
void validate_rope(const RopeConfig& rope, int64_t head_dim, const std::string& subject);
// Writes both forms of the model's RoPE into a config.json, with the same values.
void put_rope(const ModelConfig& model, nlohmann::json& config);
// Who reads the rotary embedding that put_rope() writes, where most programs do not; else empty.
std::string readers_of_rope(const ModelConfig& model);

}  // namespace hici::config
