// SPDX-License-Identifier: Apache-2.0
// Which layers an adapter's tensors adapt, and how.
#pragma once

#include "hici/io/adapter.h"

#include <string>

namespace hici::io {

// "model.layers.0.self_attn.q_proj" of "model.layers.0.self_attn.q_proj.lora_A.weight".
std::string adapted_module(const std::string& tensor);

// Sorts the tensors of an adapter, whose rank and alpha are known, into modules that layers compute with as they run
// (LoraConfig::modules) and folds. An error for a kind that is not supported, and where adapter_config.json says
// another kind than the tensors show.
void sort_modules(Adapter& adapter);

}  // namespace hici::io
