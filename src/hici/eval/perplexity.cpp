// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/perplexity.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/eval/batch_scores.h"
#include "hici/eval/work_together.h"
#include "hici/nn/non_finite.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace hici::eval {
namespace {

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

template <typename Windows>
void check_finite(const BatchScores& scores, const nn::CausalLm& model, const Windows& windows, int64_t batch) {
  for (const double value : scores.negative_log_likelihoods) {
    if (!std::isfinite(value)) nn::fail_not_finite(model, "the loss of " + windows.described(batch));
  }
}

BatchScores score_batch(const nn::CausalLm& model, const TokenWindows& windows, int64_t batch,
                        const PerplexityOptions& options) {
  BatchScores scores = score_windows(model, windows.read(batch), options.forward, options.stream_segments);
  check_finite(scores, model, windows, batch);
  return scores;
}

BatchScores score_batch(const nn::CausalLm& model, const RollingWindows& windows, int64_t batch,
                        const PerplexityOptions& options) {
  BatchScores scores = score_rolling(model, windows.read(batch), options.forward);
  check_finite(scores, model, windows, batch);
  return scores;
}

template <typename Windows>
PerplexityResult result_of(const Sums& sums, const Windows& windows, double seconds) {
  PerplexityResult result;
  result.loss = sums.loss();
  result.perplexity = std::exp(result.loss);
  HICI_CHECK(std::isfinite(result.perplexity), "perplexity: is ", result.perplexity, " (mean loss ", result.loss,
             " over ", sums.predicted, " tokens); the model predicts nothing of this text, is it the right one?");
  result.accuracy = static_cast<double>(sums.hits) / static_cast<double>(sums.predicted);
  result.windows = windows.num_windows();
  result.predicted_tokens = sums.predicted;
  result.seconds = seconds;
  result.tokens_per_second = static_cast<double>(windows.input_tokens()) / seconds;
  return result;
}

// Their order is that of the batches, whoever scored which.
template <typename Windows>
PerplexityResult result_of(const std::vector<nlohmann::json>& answers, const Windows& windows, const SharedWork& work,
                           double seconds) {
  Sums sums;
  for (const nlohmann::json& value : answers)
    sums.add(scores_from_json(JsonObject(value, work.output.string() + ": scores of a batch")));
  return result_of(sums, windows, seconds);
}

// The scores of a batch for each group of processes, summed over the processes of the group, in all processes.
std::vector<BatchScores> summed_scores(const parallel::World& world, const BatchScores& own, size_t batches,
                                       size_t forwards) {
  std::vector<double> losses(batches * forwards);
  std::vector<int64_t> counts(batches * 2);
  const auto group = static_cast<size_t>(world.mesh().data_rank(world.rank()));
  if (group < batches) {
    HICI_ASSERT(own.negative_log_likelihoods.size() == forwards, own.negative_log_likelihoods.size(), " ", forwards);
    std::copy_n(own.negative_log_likelihoods.begin(), forwards, losses.data() + group * forwards);
    counts[group * 2] = own.hits;
    counts[group * 2 + 1] = own.predicted;
  }
  losses = parallel::sums_over(world, losses);
  counts = parallel::sums_over(world, counts);
  std::vector<BatchScores> all(batches);
  for (size_t i = 0; i < batches; ++i) {
    const double* first = losses.data() + i * forwards;
    all[i] = {std::vector<double>(first, first + forwards), counts[i * 2], counts[i * 2 + 1]};
  }
  return all;
}

// One round of batches, a batch for each group.
std::vector<nlohmann::json> score_round(const nn::CausalLm& model, const TokenWindows& windows,
                                        const std::vector<int64_t>& batches, const PerplexityOptions& options,
                                        const parallel::World& world) {
  const auto group = static_cast<size_t>(world.mesh().data_rank(world.rank()));
  BatchScores own;
  if (group < batches.size())
    own = score_windows(model, windows.read(batches[group]), options.forward, options.stream_segments);
  const auto forwards = static_cast<size_t>(forwards_of(options.seq_len, options.forward, options.stream_segments));
  const std::vector<BatchScores> all = summed_scores(world, own, batches.size(), forwards);
  std::vector<nlohmann::json> answers;
  for (size_t i = 0; i < batches.size(); ++i) {
    check_finite(all[i], model, windows, batches[i]);
    answers.push_back(to_json(all[i]));
  }
  return answers;
}

template <typename Windows>
PerplexityResult evaluate(const nn::CausalLm& model, const Windows& windows, const PerplexityOptions& options,
                          const OnProgress& on_progress) {
  const at::NoGradGuard no_grad;
  Sums sums;
  const double seconds =
      windows.for_each_batch([&](int64_t batch) { sums.add(score_batch(model, windows, batch, options)); },
                             [&](int64_t done) {
                               if (on_progress) on_progress(done, windows.num_windows(), std::exp(sums.loss()));
                             });
  return result_of(sums, windows, seconds);
}

template <typename Windows>
void share(const nn::CausalLm& model, const Windows& windows, const PerplexityOptions& options, const SharedWork& work,
           const std::function<void(const PerplexityResult&)>& write) {
  const at::NoGradGuard no_grad;
  auto answer = [&](int64_t batch) { return to_json(score_batch(model, windows, batch, options)); };
  auto merge = [&](const std::vector<nlohmann::json>& answers, double seconds) {
    write(result_of(answers, windows, work, seconds));
  };
  share_cases(work, windows.num_batches(), answer, merge);
}

}  // namespace

PerplexityResult evaluate_perplexity(const nn::CausalLm& model, const data::TokenFile& tokens,
                                     const PerplexityOptions& options, const OnProgress& on_progress) {
  return evaluate(model, TokenWindows(tokens, options.windows()), options, on_progress);
}

void share_perplexity(const nn::CausalLm& model, const data::TokenFile& tokens, const PerplexityOptions& options,
                      const SharedWork& work, const std::function<void(const PerplexityResult&)>& write) {
  share(model, TokenWindows(tokens, options.windows()), options, work, write);
}

PerplexityResult evaluate_rolling(const nn::CausalLm& model, const data::Documents& documents,
                                  const PerplexityOptions& options, const OnProgress& on_progress) {
  return evaluate(model, RollingWindows(documents, options.rolling()), options, on_progress);
}

void share_rolling(const nn::CausalLm& model, const data::Documents& documents, const PerplexityOptions& options,
                   const SharedWork& work, const std::function<void(const PerplexityResult&)>& write) {
  share(model, RollingWindows(documents, options.rolling()), options, work, write);
}

int share_windows(const nn::CausalLm& model, const data::TokenFile& tokens, const PerplexityOptions& options,
                  const parallel::World& world, const SharedWork& work,
                  const std::function<void(const PerplexityResult&)>& write) {
  const at::NoGradGuard no_grad;
  const TokenWindows windows(tokens, options.windows());
  auto answer = [&](const std::vector<int64_t>& batches) {
    return score_round(model, windows, batches, options, world);
  };
  auto merge = [&](const std::vector<nlohmann::json>& answers, double seconds) {
    write(result_of(answers, windows, work, seconds));
  };
  return work_together(world, work, windows.num_batches(), answer, merge);
}

}  // namespace hici::eval
