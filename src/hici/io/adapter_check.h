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

// Every module of the base that adapter_config.json targets has factors, and no other has: PEFT leaves out tensors that
// it does not expect.
void check_adapter_is_whole(const Adapter& adapter, const config::ModelConfig& base);

}  // namespace hici::io
