// SPDX-License-Identifier: Apache-2.0
// The micro-batches of optimizer steps, read ahead: while the device works on a step, another thread reads the next.
// B rows of T tokens, n rows of the loss
#pragma once

#include "hici/config/train_config.h"
#include "hici/data/batch_source.h"
#include "hici/data/block_sampler.h"
#include "hici/parallel/mesh.h"

#include <ATen/core/Tensor.h>

#include <future>
#include <vector>

namespace hici::train {

// A batch in host memory: pinned where the device is a GPU, so that the copy to it does not hold up the host.
struct MicroBatch {
  data::TokenBatch batch;
  // What the loss is taken of. Where most tokens have no label (a long prompt, a short answer), those that have one are
  // picked out: the output head is a large part of a step. Not there with --stream_segments.
  at::Tensor labelled_rows_n = {};  // of the B T rows; undefined: all of them
  at::Tensor labels_n = {};
  // Of the whole sequences, where the batch has a part of their segments.
  int64_t num_segments = 0;
};

struct StepBatches {
  std::vector<MicroBatch> micro_batches;
  // Of the whole sequences of these micro-batches: labels that count, and tokens.
  int64_t num_targets = 0;
  int64_t num_tokens = 0;
  // Of all processes: the samples of the step, and where the data goes on behind them.
  std::vector<int64_t> blocks;
  data::SamplerPosition position;
};

// Which part of a step is this process's: every `of_data`-th batch, and of its sequences the segments that are in one
// of `of_segments` equal runs.
struct BatchShare {
  int64_t data = 0, of_data = 1;
  int64_t segments = 0, of_segments = 1;
  int64_t segment_length = 0;  // tokens; read where of_segments > 1

  static BatchShare of(const parallel::Mesh& mesh, int64_t rank, int64_t segment_length) {
    return {mesh.data_rank(rank), mesh.data, mesh.segment_rank(rank), mesh.segments, segment_length};
  }
};

class BatchPrefetcher {
 public:
  // Begins at once with the first of `num_steps` steps; `samples` must outlive this object.
  BatchPrefetcher(const data::BatchSource& samples, const config::TrainConfig& config,
                  const data::SamplerPosition& start, int64_t num_steps, at::Device device,
                  const BatchShare& share = {});

  // The next step's micro-batches; begins to read those of the step behind it. What reading threw is thrown here, with
  // the step that it belongs to. At most `num_steps` times.
  StepBatches next();

 private:
  void start_reading();
  StepBatches read();
  MicroBatch read_micro_batch(StepBatches& step);

  const data::BatchSource& samples_;
  config::TrainConfig config_;
  BatchShare share_;
  bool is_pinned_;
  int64_t steps_left_;             // that nobody has begun to read
  data::BlockSampler sampler_;     // used by one read at a time, one step ahead of the trainer
  std::future<StepBatches> next_;  // last, so that its destructor, which waits for the thread, runs first
};

}  // namespace hici::train
