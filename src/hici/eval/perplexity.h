// SPDX-License-Identifier: Apache-2.0
// Perplexity over sliding windows, exactly as perplexity() of the reference: every predicted position of every window
// (token_windows.h) counts once. Logits are never held whole.
#pragma once

#include "hici/eval/shared_work.h"
#include "hici/eval/token_windows.h"
#include "hici/nn/causal_lm.h"

#include <functional>

namespace hici::eval {

struct PerplexityOptions {
  int64_t seq_len = 0;
  int64_t stride = 256;      // --sliding_window
  int64_t batch_size = 1;    // windows in one forward; the result does not depend on it but for rounding
  int64_t limit_tokens = 0;  // 0: the whole file
  nn::ForwardOptions forward;
  bool stream_segments = false;  // HiCI attention one segment after the other: memory of one, whatever seq_len is

  WindowOptions windows() const { return {seq_len, stride, batch_size, limit_tokens}; }
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

// `on_progress(windows done, all, perplexity so far)` after each batch. Looks at the stop signals before each batch and
// throws when one came. A loss that is not finite is an error that names the window.
PerplexityResult evaluate_perplexity(const nn::CausalLm& model, const data::TokenFile& tokens,
                                     const PerplexityOptions& options,
                                     const std::function<void(int64_t, int64_t, double)>& on_progress = {});

// The same by all processes of a run together: a batch is a case of `work`. The one that finds the scores of all
// batches gives the result to `write`; it is that of one process to the last bit, for the scores are added in the same
// order. Its seconds are those of the process that took longest.
void share_perplexity(const nn::CausalLm& model, const data::TokenFile& tokens, const PerplexityOptions& options,
                      const SharedWork& work, const std::function<void(const PerplexityResult&)>& write);

}  // namespace hici::eval
