// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/perplexity.h"

#include "hici/base/error.h"
#include "hici/base/signals.h"
#include "hici/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace hici::eval {
namespace {

struct Sums {
  double negative_log_likelihood = 0;
  int64_t hits = 0;
  int64_t predicted = 0;
};

at::Tensor read_windows(const data::TokenFile& tokens, const PerplexityOptions& options, int64_t first, int64_t count) {
  at::Tensor windows = at::empty({count, options.seq_len}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    int64_t* row = windows.mutable_data_ptr<int64_t>() + i * options.seq_len;
    tokens.read_into((first + i) * options.stride, {row, static_cast<size_t>(options.seq_len)});
  }
  return windows;
}

// hidden_BTC: the states that predict targets_BT.
void add_scores(Sums& sums, const nn::CausalLm& model, const at::Tensor& hidden_BTC, const at::Tensor& targets_BT) {
  const at::Tensor targets = targets_BT.reshape({-1});
  const ops::TokenScores scores =
      ops::score_tokens(hidden_BTC.reshape({-1, hidden_BTC.size(-1)}), model.head_weight(), targets);
  sums.negative_log_likelihood -= scores.log_likelihood.sum(at::kDouble).item<double>();
  sums.hits += scores.argmax.eq(targets).sum().item<int64_t>();
  sums.predicted += targets.numel();
}

void add_streamed(Sums& sums, const nn::CausalLm& model, const at::Tensor& tokens_BT,
                  const nn::ForwardOptions& forward) {
  const int64_t segment_length = forward.segment_length;
  const ops::RotaryFrequencies frequencies = model.rotary_frequencies();
  nn::ModelState state = model.empty_state(tokens_BT.size(0));
  const int64_t predicted = tokens_BT.size(1) - 1;
  for (int64_t at = 0; at < predicted; at += segment_length) {
    nn::SegmentHidden out = model.forward_segment(
        {tokens_BT.narrow(1, at, segment_length), at / segment_length, {}, frequencies, forward.backend}, state);
    const int64_t count = std::min(segment_length, predicted - at);
    add_scores(sums, model, out.hidden_BSC.narrow(1, 0, count), tokens_BT.narrow(1, at + 1, count));
    state = std::move(out.after);
  }
}

void add_windows(Sums& sums, const nn::CausalLm& model, const at::Tensor& windows_BT,
                 const PerplexityOptions& options) {
  const at::Tensor tokens = windows_BT.to(model.head_weight().device());
  if (options.stream_segments) return add_streamed(sums, model, tokens, options.forward);
  const int64_t predicted = tokens.size(1) - 1;
  add_scores(sums, model, model.forward_hidden(tokens, options.forward).narrow(1, 0, predicted),
             tokens.narrow(1, 1, predicted));
}

}  // namespace

int64_t count_windows(int64_t num_tokens, int64_t seq_len, int64_t stride) {
  const int64_t room = num_tokens - seq_len;
  return room <= 0 ? 0 : (room + stride - 1) / stride;
}

PerplexityResult evaluate_perplexity(const nn::CausalLm& model, const data::TokenFile& tokens,
                                     const PerplexityOptions& options,
                                     const std::function<void(int64_t, int64_t, double)>& on_progress) {
  const at::NoGradGuard no_grad;
  const int64_t length = options.limit_tokens > 0 ? std::min(options.limit_tokens, tokens.size()) : tokens.size();
  PerplexityResult result;
  result.windows = count_windows(length, options.seq_len, options.stride);
  HICI_CHECK(result.windows > 0, tokens.path().string(), ": ", length,
             " tokens are not more than one window of --seq_len ", options.seq_len,
             "; use a longer file or a shorter window");
  const auto started = std::chrono::steady_clock::now();
  Sums sums;
  for (int64_t first = 0; first < result.windows; first += options.batch_size) {
    HICI_CHECK(stop_requested() == 0, "stopped by signal ", stop_requested(), " after ", first, " of ", result.windows,
               " windows");
    const int64_t count = std::min(options.batch_size, result.windows - first);
    add_windows(sums, model, read_windows(tokens, options, first, count), options);
    HICI_CHECK(std::isfinite(sums.negative_log_likelihood), "window ", first, " (from token ", first * options.stride,
               "): the loss is not finite; are the weights whole and --dtype wide enough?");
    result.loss = sums.negative_log_likelihood / static_cast<double>(sums.predicted);
    if (on_progress) on_progress(first + count, result.windows, std::exp(result.loss));
  }
  result.perplexity = std::exp(result.loss);
  result.accuracy = static_cast<double>(sums.hits) / static_cast<double>(sums.predicted);
  result.predicted_tokens = sums.predicted;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  result.tokens_per_second = static_cast<double>(result.windows * options.seq_len) / result.seconds;
  return result;
}

}  // namespace hici::eval
