// SPDX-License-Identifier: Apache-2.0
// What the name of a parameter says: "model.layers.3.self_attn.local_constructor.q_proj.lora_A.weight" belongs to the
// HiCI modules and to an adapter on them.
#pragma once

#include <string>

namespace hici::config {

// Input embedding and output head; a tied model has the first alone.
inline constexpr const char *kEmbeddingName = "model.embed_tokens.weight", *kHeadName = "lm_head.weight";

// Factors of adapters, "....lora_A.weight" and "....lora_B.weight".
inline bool is_lora_parameter(const std::string& name) { return name.find(".lora_") != std::string::npos; }

// Everything in the HiCI modules, adapters on them included.
inline bool is_hici_parameter(const std::string& name) {
  return name.find(".local_constructor.") != std::string::npos || name.find(".global_integrator.") != std::string::npos;
}

}  // namespace hici::config
