// SPDX-License-Identifier: Apache-2.0
#include "hici/train/evaluator.h"

#include "hici/nn/streamed_forward.h"
#include "hici/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

namespace hici::train {

Evaluator::Evaluator(const nn::CausalLm& model, nn::ForwardOptions forward, const data::BatchSource& samples,
                     int64_t batch_size, bool stream_segments, const parallel::World& world)
    : model_(model),
      forward_(std::move(forward)),
      samples_(samples),
      batch_size_(batch_size),
      stream_segments_(stream_segments),
      world_(world),
      share_(BatchShare::of(world.mesh(), world.rank(), forward_.segment_length, stream_segments)),
      device_(model.head_weight().device()) {
  forward_.policies = {};
}

MicroBatch Evaluator::read(int64_t batch) const {
  const int64_t first = batch * batch_size_, end = std::min(first + batch_size_, num_samples());
  std::vector<int64_t> samples;
  for (int64_t i = first; i < end; ++i) samples.push_back(i);
  MicroBatch micro{samples_.batch(samples)};
  cut_to_share(micro, share_);
  return micro;
}

double Evaluator::sum_of_losses(const MicroBatch& micro) const {
  const at::Tensor& labels_BT = micro.batch.labels_BT;
  double sum = 0;
  // hidden_BSC: of the S tokens from column `at` on.
  const auto add = [&](const at::Tensor& hidden_BSC, int64_t at) {
    const at::Tensor labels = labels_BT.narrow(1, at, hidden_BSC.size(1)).reshape({-1});
    const at::Tensor rows = labels.ne(ops::kIgnoredLabel).nonzero().view(-1);
    if (rows.numel() == 0) return;
    const at::Tensor hidden = hidden_BSC.reshape({-1, hidden_BSC.size(-1)}).index_select(0, rows.to(device_));
    const at::Tensor targets = labels.index_select(0, rows).to(device_);
    sum -= ops::score_tokens(hidden, model_.head_weight(), targets).log_likelihood.sum(at::kDouble).item<double>();
  };
  const nn::ForwardOptions forward = forward_over(micro, forward_, world_, device_);
  const at::Tensor tokens_BT = micro.batch.tokens_BT.to(device_);
  if (stream_segments_) {
    nn::forward_by_segments(model_, tokens_BT, forward, add);
  } else {
    add(model_.forward_hidden(tokens_BT, forward), 0);
  }
  return sum;
}

// A process without a batch of its own in the last round works on the first one, which counts nothing: others may need
// its part of a layer's weights.
std::optional<MeanLoss> Evaluator::run(const std::function<bool()>& should_stop,
                                       const std::function<void(int64_t done, int64_t total)>& on_batches) const {
  const at::NoGradGuard no_grad;
  double sum = 0;
  int64_t targets = 0;
  for (int64_t first = 0; first < num_batches(); first += share_.of_data) {
    if (should_stop()) return std::nullopt;
    const int64_t batch = first + share_.data;
    const bool is_counted = batch < num_batches();
    const MicroBatch micro = read(is_counted ? batch : 0);
    const double loss = sum_of_losses(micro);
    if (is_counted) {
      sum += loss;
      targets += micro.batch.num_targets;
    }
    if (on_batches) on_batches(std::min(first + share_.of_data, num_batches()), num_batches());
  }
  MeanLoss mean;
  mean.targets = parallel::sums_over(world_, std::vector<int64_t>{targets})[0];
  mean.loss = parallel::sums_over(world_, std::vector<double>{sum})[0] / static_cast<double>(mean.targets);
  return mean;
}

}  // namespace hici::train
