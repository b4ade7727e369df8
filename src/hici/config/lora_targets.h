// SPDX-License-Identifier: Apache-2.0
// The linear layers that LoRA may adapt, by the last part of their names: in attention and MLPs, and in HiCI's modules.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace hici::config {

inline constexpr std::array<std::string_view, 7> kLoraTargets{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                              "gate_proj", "up_proj", "down_proj"};

bool is_lora_target(std::string_view name);
// "q_proj, k_proj, ...", for messages.
const std::string& lora_target_names();

}  // namespace hici::config
