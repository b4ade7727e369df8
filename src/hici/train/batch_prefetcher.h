// SPDX-License-Identifier: Apache-2.0
// Prefetching of micro-batches: while the device works on a step, another thread reads the next step's.
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

// A batch in host memory. For a GPU it is pinned, so the host does not wait for the copy.
struct MicroBatch {
  data::TokenBatch batch;
  // Rows of the loss. If most tokens have no label (long prompts, short answers), only labelled rows are selected,
  // because the output head is a large part of a step. Not used with --stream_segments.
  at::Tensor labelled_rows_n = {};  // of the B T rows; undefined: all of them
  at::Tensor labels_n = {};
  // Segments of a whole sequence; set if the batch has a part of them.
  int64_t num_segments = 0;
  int64_t first_sequence = 0;  // number of the first row's sequence in the step over all processes; others follow it
};

struct StepBatches {
  std::vector<MicroBatch> micro_batches;
  // Labels and tokens of the whole sequences in these micro-batches.
  int64_t num_targets = 0;
  int64_t num_tokens = 0;
  // Over all processes: the samples of the step, and the position in the data after them.
  std::vector<int64_t> blocks;
  data::SamplerPosition position;
};

// The part of a step that this process reads: every `of_data`-th batch, and of its sequences one of `of_segments` equal
// runs of segments.
struct BatchShare {
  int64_t data = 0, of_data = 1;
  int64_t segments = 0, of_segments = 1;
  int64_t segment_length = 0;  // tokens; read if of_segments > 1
  bool is_dealt = false;       // segments are dealt out one by one, for streaming; else in equal runs

  static BatchShare of(const parallel::Mesh& mesh, int64_t rank, int64_t segment_length, bool is_dealt) {
    return {mesh.data_rank(rank), mesh.data, mesh.segment_rank(rank), mesh.segments, segment_length, is_dealt};
  }
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
  int64_t steps_left_;             // not yet started
  data::BlockSampler sampler_;     // used by one read at a time, one step ahead of the trainer
  std::future<StepBatches> next_;  // last, so that its destructor, which waits for the thread, runs first
};

}  // namespace hici::train
