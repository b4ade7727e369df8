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
  std::optional<MapPlace> place;  // in the window `map_window`; `sequence` is ignored
  int64_t map_window = 0;
};

// By layer and head; the three shares of a head add up to 1.
using SharesByHead = std::vector<std::vector<double>>;

struct AttentionProfile {
  SharesByHead global, local, token;  // [L][H]
  std::optional<AttentionMap> map;
  int64_t windows = 0;
  int64_t queries = 0;  // number of tokens in the means
  double seconds = 0;
};

// Calls `on_progress(windows done, all)` after each batch. Checks for stop signals before each batch and throws after
// one. Non-finite shares are an error that names the window.
AttentionProfile profile_attention(const nn::CausalLm& model, const data::TokenFile& tokens,
                                   const AttentionProfileOptions& options,
                                   const std::function<void(int64_t, int64_t)>& on_progress);

// The same, divided among the processes of a run, as in share_perplexity().
void share_attention_profile(const nn::CausalLm& model, const data::TokenFile& tokens,
                             const AttentionProfileOptions& options, const SharedWork& work,
                             const std::function<void(const AttentionProfile&)>& write);

// Per layer, the mean over its heads.
std::vector<double> means_of_layers(const SharesByHead& shares);

nlohmann::json to_json(const AttentionMap& map);

}  // namespace hici::eval
