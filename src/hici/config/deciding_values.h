// SPDX-License-Identifier: Apache-2.0
// The part of a config.json that decides what a model computes and that no tensor shows.
#pragma once

#include "hici/config/model_config.h"

#include <map>
#include <string>

namespace hici::config {

// By the key of config.json, in the shortest text that reads back as the same number: how heads are cut, the norms'
// epsilon, RoPE and the positions that it covers. Forms that compute the same (two spellings of RoPE, a linear scaling
// by 1, keys that nobody reads) give the same values. The context factor is no part of it: it is not the file's.
std::map<std::string, std::string> deciding_values(const ModelConfig& config);

}  // namespace hici::config
