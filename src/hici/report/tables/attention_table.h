// SPDX-License-Identifier: Apache-2.0
// Where attention goes: the shares of global slots, local slots and tokens, as means over heads.
#pragma once

#include "hici/report/tables/table.h"

#include <vector>

namespace hici::report {

// The mean over the heads of each layer.
std::vector<double> means_by_layer(const AttentionResult::Shares& shares);

// One row for each model: means over all layers.
Table attention_table(const std::vector<AttentionResult>& results);
// One row for each model and layer, which count from 0.
Table attention_layer_table(const std::vector<AttentionResult>& results);

}  // namespace hici::report
