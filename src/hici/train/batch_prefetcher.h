// SPDX-License-Identifier: Apache-2.0
// Prefetching of micro-batches: while the device works on a step, another thread reads the next step's.
#pragma once

#include "hici/config/train_config.h"
#include "hici/data/batch_source.h"
#include "hici/train/micro_batch.h"

#include <future>
#include <memory>
#include <vector>

namespace hici::train {

struct StepBatches {
  std::vector<MicroBatch> micro_batches;
  // Labels and tokens of the whole sequences in these micro-batches.
  int64_t num_targets = 0;
  int64_t num_tokens = 0;
  // Over all processes: the samples of the step, and the position in the data after them.
  std::vector<int64_t> blocks;
  data::SamplerPosition position;
};

class BatchPrefetcher {
 public:
  // Starts to read the first of `num_steps` steps at once. `samples` must outlive this object.
  BatchPrefetcher(const data::BatchSource& samples, const config::TrainConfig& config,
                  const data::SamplerPosition& start, int64_t num_steps, at::Device device,
                  const BatchShare& share = {});

  // The next step's micro-batches. Starts to read those of the step after it. An exception of the reading thread is
  // rethrown here, for the step it belongs to. May be called `num_steps` times.
  StepBatches next();

 private:
  void start_reading();
  StepBatches read();
  MicroBatch read_micro_batch(StepBatches& step);

  const data::BatchSource& samples_;
  config::TrainConfig config_;
  BatchShare share_;
  bool is_pinned_;
  int64_t steps_left_;                        // not yet started
  std::unique_ptr<data::SampleOrder> order_;  // used by one read at a time, one step ahead of the trainer
  std::future<StepBatches> next_;             // last, so that its destructor, which waits for the thread, runs first
};

}  // namespace hici::train
