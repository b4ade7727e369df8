// SPDX-License-Identifier: Apache-2.0
#include "hici/config/lora_targets.h"

#include "hici/base/joined.h"

#include <algorithm>

namespace hici::config {

bool is_lora_target(std::string_view name) {
  return std::find(kLoraTargets.begin(), kLoraTargets.end(), name) != kLoraTargets.end();
}

const std::string& lora_target_names() {
  static const std::string names = joined(kLoraTargets);
  return names;
}

}  // namespace hici::config
