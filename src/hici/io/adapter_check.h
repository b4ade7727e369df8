// SPDX-License-Identifier: Apache-2.0
// Whether an adapter belongs to a base model.
#pragma once

#include "hici/config/model_config.h"
#include "hici/io/adapter.h"

namespace hici::io {

// Shapes of every tensor against the base, which must have been opened with this config: LoRA factors belong to a layer
// and fit it and the rank, trainables have the shape of what they replace. The embedding may have more rows than the
// base.
void check_adapter(const Adapter& adapter, const config::ModelConfig& base);

}  // namespace hici::io
