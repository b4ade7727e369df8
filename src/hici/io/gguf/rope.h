// SPDX-License-Identifier: Apache-2.0
// The rotary embedding as llama.cpp reads it. docs/formats.md has the table of what is written for which type.
#pragma once

#include "hici/config/model_config.h"
#include "hici/io/gguf/file.h"

#include <optional>
#include <string>
#include <vector>

namespace hici::io::gguf {

// What divides the frequency of each pair, as tensors of llama.cpp's architecture `llama`.
struct RopeFactors {
  std::vector<std::string> tensors;  // names; all hold the same values
  std::vector<float> values;         // head_dim / 2
};

struct Rope {
  Metadata metadata;  // its keys begin with `architecture`
  std::optional<RopeFactors> factors;
};

// `config` has no context factor (config::RopeConfig). What its architecture has no place for is an error that begins
// with `subject`.
Rope rope_of(const config::ModelConfig& config, const std::string& architecture, const std::string& subject);

}  // namespace hici::io::gguf
