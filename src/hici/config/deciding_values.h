// SPDX-License-Identifier: Apache-2.0
// The values of a config.json that affect the results of a model and that no tensor shows.
#pragma once

#include "hici/config/model_config.h"

#include <map>
#include <string>

namespace hici::config {

// By key of config.json, as the shortest text that reads back as the same number: numbers of heads, the norms' epsilon,
// RoPE and its covered positions. Equivalent forms (two spellings of RoPE, a linear scaling by 1, unused keys) give the
// same values. The context factor is not included, because it is not in the file.
std::map<std::string, std::string> deciding_values(const ModelConfig& config);

}  // namespace hici::config
