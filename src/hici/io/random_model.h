// SPDX-License-Identifier: Apache-2.0
// A model directory with random weights, as transformers initialises one: normal(0, 0.02), norms one. The start of
// training from nothing, and of tests. The same seed gives the same bytes.
#pragma once

#include "hici/config/model_config.h"

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <optional>

namespace hici::io {

struct RandomModel {
  config::ModelConfig config;
  at::ScalarType dtype = at::kFloat;
  uint64_t seed = 0;
  std::filesystem::path tokenizer_dir;  // its tokenizer files are copied; empty: none
};

// `path` must not exist, or be an empty folder.
void write_random_model(const std::filesystem::path& path, const RandomModel& model);

// What a tokenizer.json says to a config, without loading the tokenizer.
struct TokenizerFacts {
  int64_t vocab_size = 0;  // one more than the largest id, added tokens included
  std::optional<int64_t> bos_token_id = {};
  std::optional<int64_t> eos_token_id = {};
};
TokenizerFacts read_tokenizer_facts(const std::filesystem::path& dir);

}  // namespace hici::io
