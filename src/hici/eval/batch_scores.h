// SPDX-License-Identifier: Apache-2.0
// What one batch of windows adds to the sums of a perplexity, scored by one process, or by several that share each
// window by whole segments.
#pragma once

#include "hici/base/json.h"
#include "hici/eval/rolling_windows.h"
#include "hici/nn/causal_lm.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <vector>

namespace hici::eval {

struct BatchScores {
  // In the order in which they are added up: one for each forward. Sums of several batches are made from these, so that
  // they do not depend on who scored which batch.
  std::vector<double> negative_log_likelihoods;
  int64_t hits = 0;
  int64_t predicted = 0;
};

// windows_BT: int64, on the host. With `stream_segments` a forward is of one segment, else of the whole batch. Where
// forward.share is not whole, these are the scores of this process's segments, and all processes of its group must make
// the same call; the forwards of all are as many, and sum to the scores of the batch.
BatchScores score_windows(const nn::CausalLm& model, const at::Tensor& windows_BT, const nn::ForwardOptions& forward,
                          bool stream_segments);
// A batch of rolling windows, in one forward of this process alone. Each row is scored as it would be by itself.
BatchScores score_rolling(const nn::CausalLm& model, const RollingBatch& batch, const nn::ForwardOptions& forward);
// Number of forwards of a process, for windows of `length` tokens.
int64_t forwards_of(int64_t length, const nn::ForwardOptions& forward, bool stream_segments);

// JSON numbers keep every bit.
nlohmann::json to_json(const BatchScores& scores);
BatchScores scores_from_json(const JsonObject& answer);

}  // namespace hici::eval
