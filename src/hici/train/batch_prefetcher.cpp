// SPDX-License-Identifier: Apache-2.0
#include "hici/train/batch_prefetcher.h"

#include "hici/base/error.h"
#include "hici/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>

namespace hici::train {
namespace {

at::Tensor pinned(const at::Tensor& t) {
  return t.defined() ? at::empty(t.sizes(), t.options().pinned_memory(true)).copy_(t) : t;
}

void pin(MicroBatch& micro) {
  for (at::Tensor* t : {&micro.batch.tokens_BT, &micro.batch.labels_BT, &micro.batch.valid_BT, &micro.labelled_rows_n,
                        &micro.labels_n}) {
    *t = pinned(*t);
  }
}

at::Tensor padded(const at::Tensor& t_BT, int64_t length, int64_t value) {
  return at::constant_pad_nd(t_BT, {0, length - t_BT.size(1)}, value);
}

// Labels are shifted already: that of a run's last token is the first token of the next one. Where the number of
// segments is not a multiple of the processes', segments of padding follow, which have no slots and no labels.
void cut_to_share(MicroBatch& micro, const BatchShare& share) {
  if (share.of_segments == 1) return;
  data::TokenBatch& batch = micro.batch;
  const int64_t length = batch.tokens_BT.size(1), segment = share.segment_length;
  HICI_ASSERT(segment > 0 && length % segment == 0 && batch.sequences.empty(), "T ", length, " S ", segment);
  micro.num_segments = length / segment;
  const int64_t each = (micro.num_segments + share.of_segments - 1) / share.of_segments * segment;
  const int64_t whole = each * share.of_segments;
  if (whole > length) {
    if (!batch.valid_BT.defined()) batch.valid_BT = at::ones(batch.tokens_BT.sizes(), at::kBool);
    batch.tokens_BT = padded(batch.tokens_BT, whole, 0);
    batch.labels_BT = padded(batch.labels_BT, whole, ops::kIgnoredLabel);
    batch.valid_BT = padded(batch.valid_BT, whole, 0);
  }
  for (at::Tensor* t_BT : {&batch.tokens_BT, &batch.labels_BT, &batch.valid_BT}) {
    if (!t_BT->defined()) continue;
    *t_BT = share.is_dealt ? t_BT->unflatten(1, {-1, share.of_segments, segment}).select(2, share.segments).flatten(1)
                           : t_BT->narrow(1, share.segments * each, each).contiguous();
  }
  batch.num_targets = batch.labels_BT.ne(ops::kIgnoredLabel).sum().item<int64_t>();
}

void pick_labelled_rows(MicroBatch& micro) {
  micro.labels_n = micro.batch.labels_BT.view(-1);
  const int64_t targets = micro.batch.num_targets;
  if (2 * targets >= micro.labels_n.numel() || targets == 0) return;
  micro.labelled_rows_n = micro.labels_n.ne(ops::kIgnoredLabel).nonzero().view(-1);
  micro.labels_n = micro.labels_n.index_select(0, micro.labelled_rows_n);
}

}  // namespace

BatchPrefetcher::BatchPrefetcher(const data::BatchSource& samples, const config::TrainConfig& config,
                                 const data::SamplerPosition& start, int64_t num_steps, at::Device device,
                                 const BatchShare& share)
    : samples_(samples),
      config_(config),
      share_(share),
      is_pinned_(device.is_cuda()),
      steps_left_(num_steps),
      sampler_(samples.num_samples(), config.shuffle, config.seed) {
  sampler_.seek(start);
  start_reading();
}

StepBatches BatchPrefetcher::next() {
  HICI_ASSERT(next_.valid(), "more steps asked for than were announced");
  StepBatches step = next_.get();
  start_reading();
  return step;
}

void BatchPrefetcher::start_reading() {
  if (steps_left_ <= 0) return;
  --steps_left_;
  next_ = std::async(std::launch::async, [this] { return read(); });
}

StepBatches BatchPrefetcher::read() {
  StepBatches step;
  for (int64_t i = 0; i < config_.accumulation_steps; ++i) {
    step.micro_batches.push_back(read_micro_batch(step));
  }
  step.position = sampler_.position();
  return step;
}

// All processes draw the batches of all, and read their own.
MicroBatch BatchPrefetcher::read_micro_batch(StepBatches& step) {
  std::vector<int64_t> own;
  for (int64_t i = 0; i < config_.batch_size * share_.of_data; ++i) {
    step.blocks.push_back(sampler_.next());
    if (i / config_.batch_size == share_.data) own.push_back(step.blocks.back());
  }
  MicroBatch micro{samples_.batch(own)};
  step.num_targets += micro.batch.num_targets;
  step.num_tokens += micro.batch.num_tokens();
  cut_to_share(micro, share_);
  if (!config_.stream_segments) pick_labelled_rows(micro);
  if (is_pinned_) pin(micro);
  return micro;
}

}  // namespace hici::train
