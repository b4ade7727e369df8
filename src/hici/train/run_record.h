// SPDX-License-Identifier: Apache-2.0
// What a run writes and shows while it goes on: checkpoints, metrics, options.ini, the live line.
#pragma once

#include "hici/base/append_file.h"
#include "hici/base/progress.h"
#include "hici/io/checkpoint/store.h"
#include "hici/train/best_checkpoint.h"
#include "hici/train/checkpoint_files.h"
#include "hici/train/metrics.h"
#include "hici/train/trainer.h"

#include <optional>
#include <string>
#include <vector>

namespace hici::train {

// How far a streamed step is: shown from its third second on, so that short steps keep their one line.
class SegmentProgress {
 public:
  void update(StreamPass pass, int64_t done, int64_t total);
  void finish() { line_.reset(); }

 private:
  std::optional<hici::Progress> line_;
};

// What the checkpoints to come take on the disk.
struct SavesToCome {
  uint64_t bytes_each = 0;
  int64_t saves = 0;
};

class RunRecord {
 public:
  static constexpr const char* kSamplesName = "samples.jsonl";

  // All are kept by reference but for `identity`: the run as describe_run() and its start options say, and `sampler`,
  // which is called after each evaluation.
  RunRecord(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
            const std::vector<optim::TrainedParameter>& trained, const OptimizerState& optimizer,
            io::TrainingState identity, io::CheckpointStore& store, Sampler sampler = {});

  // Those of the leader. A checkpoint is for write_together() of the optimizer's state.
  TrainerEvents events();

  // A disk without room is an error.
  SavesToCome check_room(const Progress& start, int64_t total_steps, bool evaluates) const;
  // Before the first step. A disk without room is an error before anything that an earlier run left is changed.
  // `eval_data`: hash of the data set of the evaluations; empty: there are none.
  void begin(const Progress& start, int64_t total_steps, const std::string& eval_data);
  // Whether an evaluation after `step` is in the record.
  bool has_evaluation(int64_t step) const { return metrics_->evaluations().contains(step); }
  // Ends the live line; a line says so when log lines were lost.
  void finish();

  const RunLosses& losses() const { return metrics_->losses(); }
  double seconds() const { return seconds_; }  // of the steps of this process
  const std::optional<BestCheckpoint>& best() const { return best_; }
  const data::SamplerPosition& position() const { return position_; }  // in the data, of the newest checkpoint
  const std::optional<EvaluationMetrics>& last_evaluation() const { return last_evaluation_; }

 private:
  CheckpointContent content_at(const Progress& progress) const;
  void find_best(int64_t step);
  void write_sample(int64_t step);
  // After the checkpoint of a step, and after its evaluation.
  void offer_as_best(int64_t step);

  const TrainingRunSpec& spec_;
  const io::LoadedModel& loaded_;
  const std::vector<optim::TrainedParameter>& trained_;
  const OptimizerState& optimizer_;
  io::TrainingState identity_;
  io::CheckpointStore& store_;
  Sampler sampler_;
  std::optional<MetricsWriter> metrics_;
  std::optional<AppendFile> samples_;
  SegmentProgress segments_;
  std::optional<hici::Progress> evaluating_;
  std::string eval_data_;
  std::optional<BestCheckpoint> best_;
  std::optional<EvaluationMetrics> last_evaluation_;
  int64_t saved_step_ = -1;  // of the newest checkpoint
  data::SamplerPosition position_;
  double seconds_ = 0;
};

}  // namespace hici::train
