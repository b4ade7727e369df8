// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/perplexity.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/nn/non_finite.h"
#include "hici/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace hici::eval {
namespace {

// What one batch of windows adds to the sums.
struct BatchScores {
  // In the order in which they are added up: one for each forward. Sums of several batches are made from these, so that
  // they do not depend on who scored which batch.
  std::vector<double> negative_log_likelihoods;
  int64_t hits = 0;
  int64_t predicted = 0;
};

struct Sums {
  double negative_log_likelihood = 0;
  int64_t hits = 0;
  int64_t predicted = 0;

  void add(const BatchScores& scores) {
    for (const double value : scores.negative_log_likelihoods) negative_log_likelihood += value;
    hits += scores.hits;
    predicted += scores.predicted;
  }
  double loss() const { return negative_log_likelihood / static_cast<double>(predicted); }
};

// hidden_BTC: the states that predict targets_BT.
void add_scores(BatchScores& sums, const nn::CausalLm& model, const at::Tensor& hidden_BTC,
                const at::Tensor& targets_BT) {
  const at::Tensor targets = targets_BT.reshape({-1});
  const ops::TokenScores scores =
      ops::score_tokens(hidden_BTC.reshape({-1, hidden_BTC.size(-1)}), model.head_weight(), targets);
  sums.negative_log_likelihoods.push_back(-scores.log_likelihood.sum(at::kDouble).item<double>());
  sums.hits += scores.argmax.eq(targets).sum().item<int64_t>();
  sums.predicted += targets.numel();
}

void add_streamed(BatchScores& sums, const nn::CausalLm& model, const at::Tensor& tokens_BT,
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

void add_windows(BatchScores& sums, const nn::CausalLm& model, const at::Tensor& windows_BT,
                 const PerplexityOptions& options) {
  const at::Tensor tokens = windows_BT.to(model.head_weight().device());
  if (options.stream_segments) return add_streamed(sums, model, tokens, options.forward);
  const int64_t predicted = tokens.size(1) - 1;
  add_scores(sums, model, model.forward_hidden(tokens, options.forward).narrow(1, 0, predicted),
             tokens.narrow(1, 1, predicted));
}

BatchScores score_batch(const nn::CausalLm& model, const TokenWindows& windows, int64_t batch,
                        const PerplexityOptions& options) {
  BatchScores scores;
  add_windows(scores, model, windows.read(batch), options);
  for (const double value : scores.negative_log_likelihoods) {
    if (!std::isfinite(value)) nn::fail_not_finite(model, "the loss of " + windows.described(batch));
  }
  return scores;
}

PerplexityResult result_of(const Sums& sums, const TokenWindows& windows, const PerplexityOptions& options,
                           double seconds) {
  PerplexityResult result;
  result.loss = sums.loss();
  result.perplexity = std::exp(result.loss);
  HICI_CHECK(std::isfinite(result.perplexity), "perplexity: is ", result.perplexity, " (mean loss ", result.loss,
             " over ", sums.predicted, " tokens); the model predicts nothing of this text, is it the right one?");
  result.accuracy = static_cast<double>(sums.hits) / static_cast<double>(sums.predicted);
  result.windows = windows.num_windows();
  result.predicted_tokens = sums.predicted;
  result.seconds = seconds;
  result.tokens_per_second = static_cast<double>(result.windows * options.seq_len) / seconds;
  return result;
}

// JSON numbers keep every bit.
nlohmann::json to_json(const BatchScores& scores) {
  return {{"nll", scores.negative_log_likelihoods}, {"hits", scores.hits}, {"predicted", scores.predicted}};
}

BatchScores scores_from_json(const JsonObject& answer) {
  return {numbers_of(answer.at("nll"), answer.subject() + ": nll"), answer.integer("hits", 0, INT64_MAX),
          answer.integer("predicted", 0, INT64_MAX)};
}

}  // namespace

PerplexityResult evaluate_perplexity(const nn::CausalLm& model, const data::TokenFile& tokens,
                                     const PerplexityOptions& options,
                                     const std::function<void(int64_t, int64_t, double)>& on_progress) {
  const at::NoGradGuard no_grad;
  const TokenWindows windows(tokens, options.windows());
  Sums sums;
  const double seconds =
      windows.for_each_batch([&](int64_t batch) { sums.add(score_batch(model, windows, batch, options)); },
                             [&](int64_t done) {
                               if (on_progress) on_progress(done, windows.num_windows(), std::exp(sums.loss()));
                             });
  return result_of(sums, windows, options, seconds);
}

void share_perplexity(const nn::CausalLm& model, const data::TokenFile& tokens, const PerplexityOptions& options,
                      const SharedWork& work, const std::function<void(const PerplexityResult&)>& write) {
  const at::NoGradGuard no_grad;
  const TokenWindows windows(tokens, options.windows());
  auto answer = [&](int64_t batch) { return to_json(score_batch(model, windows, batch, options)); };
  auto merge = [&](const std::vector<nlohmann::json>& answers, double seconds) {
    Sums sums;
    for (const nlohmann::json& value : answers) {
      sums.add(scores_from_json(JsonObject(value, work.output.string() + ": scores of a batch")));
    }
    write(result_of(sums, windows, options, seconds));
  };
  share_cases(work, windows.num_batches(), answer, merge);
}

}  // namespace hici::eval
