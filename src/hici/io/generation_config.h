// SPDX-License-Identifier: Apache-2.0
// generation_config.json of a Hugging Face directory: what ends an answer, and what transformers' generate() would do
// to the logits by itself.
#pragma once

#include "hici/base/known_keys.h"
#include "hici/config/model_config.h"

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace hici::io {

struct GenerationConfig {
  std::vector<int64_t> stop_ids = {};  // eos_token_id (a number or a list), else those of config.json; may be empty
  double repetition_penalty = 1;
  bool do_sample = false;               // answers that are drawn
  std::string sampling = {};            // how: "temperature 0.6, min_p 0.1"; empty where the file says nothing of it
  std::vector<std::string> notes = {};  // what a user should know of the file
};

// Of DIR/generation_config.json, which need not be there. A key that changes even the most probable answer and that is
// not done here (beams, forbidden tokens) is an error.
GenerationConfig read_generation_config(const std::filesystem::path& dir, const config::ModelConfig& config);

std::span<const KnownKey> generation_config_keys();

}  // namespace hici::io
