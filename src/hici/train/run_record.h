// SPDX-License-Identifier: Apache-2.0
// What a run writes and shows while it goes on: checkpoints, metrics, options.ini, the live line.
#pragma once

#include "hici/base/progress.h"
#include "hici/io/checkpoint/store.h"
#include "hici/train/checkpoint_files.h"
#include "hici/train/metrics.h"
#include "hici/train/trainer.h"

#include <optional>
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

class RunRecord {
 public:
  // All are kept by reference but for `identity`: the run as describe_run() and its start options say.
  RunRecord(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
            const std::vector<optim::TrainedParameter>& trained, const OptimizerState& optimizer,
            io::TrainingState identity, io::CheckpointStore& store);

  // Those of the leader. A checkpoint is for write_together() of the optimizer's state.
  TrainerEvents events();

  // Before the first step. A disk without room is an error before anything that an earlier run left is changed.
  void begin(const Progress& start, int64_t total_steps);
  // Ends the live line; a line says so when log lines were lost.
  void finish();

  const RunLosses& losses() const { return metrics_->losses(); }
  double seconds() const { return seconds_; }  // of the steps of this process

 private:
  CheckpointContent content_at(const Progress& progress) const;

  const TrainingRunSpec& spec_;
  const io::LoadedModel& loaded_;
  const std::vector<optim::TrainedParameter>& trained_;
  const OptimizerState& optimizer_;
  io::TrainingState identity_;
  io::CheckpointStore& store_;
  std::optional<MetricsWriter> metrics_;
  SegmentProgress segments_;
  double seconds_ = 0;
};

}  // namespace hici::train
