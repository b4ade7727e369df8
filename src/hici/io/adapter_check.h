// SPDX-License-Identifier: Apache-2.0
// Whether an adapter belongs to a base model.
#pragma once

#include "hici/config/model_config.h"
#include "hici/io/adapter.h"

namespace hici::io {

// Adapter::check_against().
void check_adapter(const Adapter& adapter, const config::ModelConfig& base);

}  // namespace hici::io
