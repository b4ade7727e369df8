// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/batch_scores.h"

#include "hici/eval/shared_work.h"
#include "hici/nn/streamed_forward.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/parallel/segment_cut.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

namespace hici::eval {
namespace {

// Windows as this process has them. Targets are shifted: that of the last token of a part is the first token of the
// next one. What predicts nothing, the last token of a window and padding, ends each part and has no target.
struct Part {
  parallel::SegmentCut cut;
  at::Tensor tokens_BT, valid_BT, targets_BT;  // on the model's device; valid_BT is undefined without padding
  at::Tensor has_target_T;                     // on the host

  int64_t num_targets(int64_t at, int64_t length) const {
    return has_target_T.narrow(0, at, length).sum().item<int64_t>();
  }
};

Part part_of(const at::Tensor& windows_BT, const nn::ForwardOptions& forward, bool is_dealt, at::Device device) {
  Part part;
  part.cut = parallel::SegmentCut::of(forward.share, forward.segment_length, is_dealt);
  const int64_t length = windows_BT.size(1);
  const at::Tensor targets = part.cut.own(
      at::constant_pad_nd(windows_BT.narrow(1, 1, length - 1), {0, 1}, ops::kIgnoredLabel), ops::kIgnoredLabel);
  part.tokens_BT = part.cut.own(windows_BT, 0).to(device);
  part.targets_BT = targets.to(device);
  part.has_target_T = targets[0].ne(ops::kIgnoredLabel);
  if (part.cut.has_padding(length)) part.valid_BT = part.cut.own(at::ones(windows_BT.sizes(), at::kBool), 0).to(device);
  return part;
}

// hidden_nC, targets_n: states and what they predict.
void add_token_scores(BatchScores& sums, const nn::CausalLm& model, const at::Tensor& hidden_nC,
                      const at::Tensor& targets_n) {
  const ops::TokenScores scores = ops::score_tokens(hidden_nC, model.head_weight(), targets_n);
  sums.negative_log_likelihoods.push_back(-scores.log_likelihood.sum(at::kDouble).item<double>());
  sums.hits += scores.argmax.eq(targets_n).sum().item<int64_t>();
  sums.predicted += targets_n.numel();
}

// hidden_BSC: the states of the S tokens from column `at` on.
void add_scores(BatchScores& sums, const nn::CausalLm& model, const at::Tensor& hidden_BSC, const Part& part,
                int64_t at) {
  const int64_t count = part.num_targets(at, hidden_BSC.size(1));
  if (count == 0) return sums.negative_log_likelihoods.push_back(0);
  const at::Tensor targets = part.targets_BT.narrow(1, at, count).reshape({-1});
  const at::Tensor hidden = hidden_BSC.narrow(1, 0, count).reshape({-1, hidden_BSC.size(-1)});
  add_token_scores(sums, model, hidden, targets);
}

}  // namespace

int64_t forwards_of(int64_t length, const nn::ForwardOptions& forward, bool stream_segments) {
  if (!stream_segments) return 1;
  return parallel::SegmentCut::of(forward.share, forward.segment_length, true).segments_here(length);
}

BatchScores score_windows(const nn::CausalLm& model, const at::Tensor& windows_BT, const nn::ForwardOptions& forward,
                          bool stream_segments) {
  const Part part = part_of(windows_BT, forward, stream_segments, model.head_weight().device());
  BatchScores scores;
  nn::ForwardOptions own = forward;
  own.valid_BT = part.valid_BT;
  if (stream_segments) {
    const auto add = [&](const at::Tensor& hidden_BSC, int64_t at) { add_scores(scores, model, hidden_BSC, part, at); };
    nn::forward_by_segments(model, part.tokens_BT, own, add);
    return scores;
  }
  add_scores(scores, model, model.forward_hidden(part.tokens_BT, own), part, 0);
  return scores;
}

BatchScores score_rolling(const nn::CausalLm& model, const RollingBatch& batch, const nn::ForwardOptions& forward) {
  const at::Device device = model.head_weight().device();
  nn::ForwardOptions own = forward;
  if (batch.valid_BT.defined()) own.valid_BT = batch.valid_BT.to(device);
  // Slots would see whole segments of padding behind a row that is shorter than others; causal attention does not.
  const bool differ = std::any_of(batch.lengths.begin(), batch.lengths.end(),
                                  [&](int64_t length) { return length != batch.lengths.front(); });
  if (differ && forward.segment_length > 0) {
    for (const int64_t length : batch.lengths) own.sequences.push_back({length});
  }
  const at::Tensor hidden_BTC = model.forward_hidden(batch.tokens_BT.to(device), own);
  const at::Tensor targets = batch.targets_BT.reshape({-1});
  const at::Tensor places = targets.ne(ops::kIgnoredLabel).nonzero().squeeze(1);
  BatchScores scores;
  add_token_scores(scores, model, hidden_BTC.reshape({-1, hidden_BTC.size(-1)}).index_select(0, places.to(device)),
                   targets.index_select(0, places).to(device));
  return scores;
}

nlohmann::json to_json(const BatchScores& scores) {
  return {{"nll", scores.negative_log_likelihoods}, {"hits", scores.hits}, {"predicted", scores.predicted}};
}

BatchScores scores_from_json(const JsonObject& answer) {
  return {numbers_of(answer.at("nll"), answer.subject() + ": nll"), answer.integer("hits", 0, INT64_MAX),
          answer.integer("predicted", 0, INT64_MAX)};
}

}  // namespace hici::eval
