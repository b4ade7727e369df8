// SPDX-License-Identifier: Apache-2.0
// The keys of config.json.
#pragma once

#include "hici/base/known_keys.h"

namespace hici::config {

std::span<const KnownKey> model_config_keys();

}  // namespace hici::config
