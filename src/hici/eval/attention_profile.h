// SPDX-License-Identifier: Apache-2.0
// AttentionShares over the windows of a token file: `hici eval attention`.
#pragma once

#include "hici/eval/attention_shares.h"
#include "hici/eval/shared_work.h"
#include "hici/eval/token_windows.h"
#include "hici/nn/causal_lm.h"

#include <functional>
#include <optional>
#include <vector>

namespace hici::eval {

struct AttentionProfileOptions {
  WindowOptions windows;
  nn::ForwardOptions forward;     // kHici
  std::optional<MapPlace> place;  // of the window `map_window`; its `sequence` is not looked at
  int64_t map_window = 0;
};

// By layer and head; the three shares of a head add up to 1.
using SharesByHead = std::vector<std::vector<double>>;

struct AttentionProfile {
  SharesByHead global, local, token;  // [L][H]
  std::optional<AttentionMap> map;
  int64_t windows = 0;
  int64_t queries = 0;  // tokens that the means are over
  double seconds = 0;
};

// `on_progress(windows done, all)` after each batch. Looks at the stop signals before each batch and throws when one
// came. Shares that are not finite are an error that names the window.
AttentionProfile profile_attention(const nn::CausalLm& model, const data::TokenFile& tokens,
                                   const AttentionProfileOptions& options,
                                   const std::function<void(int64_t, int64_t)>& on_progress);

// The same by all processes of a run together, as share_perplexity().
void share_attention_profile(const nn::CausalLm& model, const data::TokenFile& tokens,
                             const AttentionProfileOptions& options, const SharedWork& work,
                             const std::function<void(const AttentionProfile&)>& write);

// Of each layer the mean over its heads.
std::vector<double> means_of_layers(const SharesByHead& shares);

nlohmann::json to_json(const AttentionMap& map);

}  // namespace hici::eval
