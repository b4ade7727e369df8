// SPDX-License-Identifier: Apache-2.0
// generation_config.json of a Hugging Face directory, of which one thing is used: the ids that end an answer.
#pragma once

#include "hici/config/model_config.h"

#include <filesystem>
#include <vector>

namespace hici::io {

// eos_token_id of DIR/generation_config.json (a number or a list), as chat models have more of them there; else those
// of config.json. May be empty.
std::vector<int64_t> read_stop_ids(const std::filesystem::path& dir, const config::ModelConfig& config);

}  // namespace hici::io
