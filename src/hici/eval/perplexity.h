// SPDX-License-Identifier: Apache-2.0
// Perplexity over sliding windows, exactly as perplexity() of the reference: every predicted position of every window
// (token_windows.h) counts once. The logits never exist as a whole.
#pragma once

#include "hici/data/documents.h"
#include "hici/eval/rolling_windows.h"
#include "hici/eval/shared_work.h"
#include "hici/eval/token_windows.h"
#include "hici/nn/causal_lm.h"
#include "hici/parallel/world.h"

#include <algorithm>
#include <functional>

namespace hici::eval {

struct PerplexityOptions {
  int64_t seq_len = 0;
  int64_t stride = 256;          // --sliding_window
  int64_t batch_size = 1;        // windows in one forward; affects rounding only
  int64_t limit_tokens = 0;      // 0: the whole file
  nn::ForwardOptions forward;    // its share says which segments of every window are here
  bool stream_segments = false;  // HiCI attention one segment at a time, with the memory of one segment

  WindowOptions windows() const { return {seq_len, stride, batch_size, limit_tokens}; }
  // Where windows roll; stride, limit_tokens and stream_segments have no meaning there.
  RollingOptions rolling() const { return {seq_len, batch_size, std::max<int64_t>(1, forward.segment_length)}; }
};

struct PerplexityResult {
  double loss = 0;        // mean negative log-likelihood, nats
  double perplexity = 0;  // exp(loss)
  double accuracy = 0;    // share of positions where the most probable token is the next one
  int64_t windows = 0;
  int64_t predicted_tokens = 0;
  double seconds = 0;
  double tokens_per_second = 0;  // input tokens of all windows
};

using OnProgress = std::function<void(int64_t windows_done, int64_t all, double perplexity)>;

// Calls `on_progress(windows done, all, perplexity so far)` after each batch. Checks for stop signals before each batch
// and throws after one. A non-finite loss is an error that names the window.
PerplexityResult evaluate_perplexity(const nn::CausalLm& model, const data::TokenFile& tokens,
                                     const PerplexityOptions& options, const OnProgress& on_progress = {});

// The same, divided among the processes of a run: a batch is a case of `work`. The process that finds the scores of all
// batches calls `write` with the result. The result equals that of a single process to the last bit, because the scores
// are added in the same order. Its seconds are those of the slowest process.
void share_perplexity(const nn::CausalLm& model, const data::TokenFile& tokens, const PerplexityOptions& options,
                      const SharedWork& work, const std::function<void(const PerplexityResult&)>& write);

// Both over rolling windows (rolling_windows.h), of one process or divided. `loss` is the mean over all tokens of the
// documents, BOS that a tokenizer put in front included.
PerplexityResult evaluate_rolling(const nn::CausalLm& model, const data::Documents& documents,
                                  const PerplexityOptions& options, const OnProgress& on_progress = {});
void share_rolling(const nn::CausalLm& model, const data::Documents& documents, const PerplexityOptions& options,
                   const SharedWork& work, const std::function<void(const PerplexityResult&)>& write);

// The same as evaluate_perplexity() by the processes of `world`, which share each window by whole segments; all of them
// make this call. options.forward.share is that of world.segments() and the window's number of segments. Groups of
// processes take different batches. The result is that of a single process but for the rounding of sums; the leader
// calls `write`. Without work.output the scores are kept in memory. Returns the stop signal that ended it in all
// processes before the same batch, else 0.
int share_windows(const nn::CausalLm& model, const data::TokenFile& tokens, const PerplexityOptions& options,
                  const parallel::World& world, const SharedWork& work,
                  const std::function<void(const PerplexityResult&)>& write);

}  // namespace hici::eval
