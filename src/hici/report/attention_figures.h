// SPDX-License-Identifier: Apache-2.0
// The figures of `hici eval attention`.
#pragma once

#include "hici/eval/attention_profile.h"
#include "hici/report/svg/heat_map.h"
#include "hici/report/svg/plot.h"

#include <string>
#include <vector>

namespace hici::report {

// Shares of global slots, local slots and tokens against the layer, as means over its heads. Logarithmic where one of
// them would lie on the axis otherwise.
Plot layer_trend_plot(const eval::AttentionProfile& profile);

// The slots' shares of each head in the first third of the layers and in the last third.
Plot depth_plot(const eval::AttentionProfile& profile);

// Layers x heads: the share of all slots.
HeatMap head_map(const eval::AttentionProfile& profile);
// Blocks of queries x slots and blocks of tokens. Tokens that a query cannot see are empty cells.
HeatMap segment_map(const eval::AttentionMap& segment);

struct Figure {
  std::string file_name;
  std::string svg;  // a whole document
};

// layers.svg, depth.svg, heads.svg and, if there is a map, map.svg.
std::vector<Figure> attention_figures(const eval::AttentionProfile& profile);

}  // namespace hici::report
