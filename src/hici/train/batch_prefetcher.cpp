// SPDX-License-Identifier: Apache-2.0
#include "hici/train/batch_prefetcher.h"

#include "hici/base/error.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/parallel/segment_cut.h"

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

// Labels are shifted already: that of a run's last token is the first token of the next one. Where the number of
// segments is not a multiple of the processes', segments of padding follow, which have no slots and no labels.
void cut_to_share(MicroBatch& micro, const BatchShare& share) {
  if (share.of_segments == 1) return;
  data::TokenBatch& batch = micro.batch;
  HICI_ASSERT(batch.sequences.empty(), "several sequences in a row");
  const parallel::SegmentCut cut{share.segments, share.of_segments, share.segment_length, share.is_dealt};
  const int64_t length = batch.tokens_BT.size(1);
  if (cut.has_padding(length) && !batch.valid_BT.defined())
    batch.valid_BT = at::ones(batch.tokens_BT.sizes(), at::kBool);
  micro.num_segments = length / share.segment_length;
  batch.tokens_BT = cut.own(batch.tokens_BT, 0);
  batch.labels_BT = cut.own(batch.labels_BT, ops::kIgnoredLabel);
  if (batch.valid_BT.defined()) batch.valid_BT = cut.own(batch.valid_BT, 0);
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
      sampler_(samples.num_samples(), config.shuffle, config.order_seed()) {
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
  const auto first = static_cast<int64_t>(step.blocks.size()) + share_.data * config_.batch_size;
  for (int64_t i = 0; i < config_.batch_size * share_.of_data; ++i) {
    step.blocks.push_back(sampler_.next());
    if (i / config_.batch_size == share_.data) own.push_back(step.blocks.back());
  }
  MicroBatch micro{samples_.batch(own)};
  micro.first_sequence = first;
  step.num_targets += micro.batch.num_targets;
  step.num_tokens += micro.batch.num_tokens();
  cut_to_share(micro, share_);
  if (!config_.stream_segments) pick_labelled_rows(micro);
  if (is_pinned_) pin(micro);
  return micro;
}

}  // namespace hici::train
