// SPDX-License-Identifier: Apache-2.0
#include "hici/train/batch_prefetcher.h"

#include "hici/base/error.h"

namespace hici::train {

BatchPrefetcher::BatchPrefetcher(const data::BatchSource& samples, const config::TrainConfig& config,
                                 const data::SamplerPosition& start, int64_t num_steps, at::Device device,
                                 const BatchShare& share)
    : samples_(samples),
      config_(config),
      share_(share),
      is_pinned_(device.is_cuda()),
      steps_left_(num_steps),
      order_(samples.order(config.shuffle, config.order_seed())) {
  order_->seek(start);
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
  step.position = order_->position();
  return step;
}

// All processes draw the batches of all, and read their own.
MicroBatch BatchPrefetcher::read_micro_batch(StepBatches& step) {
  std::vector<int64_t> own;
  const auto first = static_cast<int64_t>(step.blocks.size()) + share_.data * config_.batch_size;
  for (int64_t i = 0; i < config_.batch_size * share_.of_data; ++i) {
    step.blocks.push_back(order_->next());
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
