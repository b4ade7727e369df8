// SPDX-License-Identifier: Apache-2.0
// What every kind of attention reads beside the hidden states.
#pragma once

#include "hici/ops/rotary.h"
#include "hici/ops/segment_attention.h"

namespace hici::nn {

struct CommonInputs {
  at::Tensor valid_BT = {};       // bool, padding on the right; undefined: every token counts
  ops::RotaryTables rotary = {};  // of the tokens' positions; not read by Dual Chunk Attention, which has its own
  ops::AttentionBackend backend = ops::AttentionBackend::kAuto;
};

}  // namespace hici::nn
