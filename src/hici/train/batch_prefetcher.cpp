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

void pick_labelled_rows(MicroBatch& micro) {
  micro.labels_n = micro.batch.labels_BT.view(-1);
  if (2 * micro.batch.num_targets >= micro.labels_n.numel()) return;
  micro.labelled_rows_n = micro.labels_n.ne(ops::kIgnoredLabel).nonzero().view(-1);
  micro.labels_n = micro.labels_n.index_select(0, micro.labelled_rows_n);
}

}  // namespace

BatchPrefetcher::BatchPrefetcher(const data::BatchSource& samples, const config::TrainConfig& config,
                                 const data::SamplerPosition& start, int64_t num_steps, at::Device device)
    : samples_(samples),
      config_(config),
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
    step.micro_batches.push_back(read_micro_batch());
    step.num_targets += step.micro_batches.back().batch.num_targets;
  }
  step.position = sampler_.position();
  return step;
}

MicroBatch BatchPrefetcher::read_micro_batch() {
  std::vector<int64_t> blocks(static_cast<size_t>(config_.batch_size));
  for (int64_t& block : blocks) block = sampler_.next();
  MicroBatch micro{samples_.batch(blocks)};
  if (!config_.stream_segments) pick_labelled_rows(micro);
  if (is_pinned_) pin(micro);
  return micro;
}

}  // namespace hici::train
