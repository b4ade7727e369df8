// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json and pytorch_model.bin.index.json: which shard holds which tensor.
#pragma once

#include <nlohmann/json.hpp>

#include <map>
#include <string>

namespace hici::io {

// From the name of a tensor to the plain name of its shard.
using ShardIndex = std::map<std::string, std::string>;

// The fuzz target of the index enters here. Shard names that leave the folder are refused.
ShardIndex parse_shard_index(const nlohmann::json& json, const std::string& subject);

}  // namespace hici::io
