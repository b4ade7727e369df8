// SPDX-License-Identifier: Apache-2.0
// The training loop. It reads as a table of contents: forward and backward, clip, update, log, save.
#pragma once

#include "hici/config/train_config.h"
#include "hici/data/batch_source.h"
#include "hici/nn/causal_lm.h"
#include "hici/optim/adamw.h"
#include "hici/optim/schedule.h"
#include "hici/train/batch_prefetcher.h"
#include "hici/train/gradient_accumulator.h"
#include "hici/train/metrics.h"
#include "hici/train/segment_streaming.h"

#include <chrono>
#include <functional>
#include <optional>

namespace hici::train {

// Where a run stands between two steps; together with parameters and optimizer state all that resuming needs.
struct Progress {
  int64_t step = 0;         // optimizer steps made
  int64_t tokens_seen = 0;  // in training sequences
  data::SamplerPosition position;
};

// What the trainer tells the outside. Any of them may be empty.
struct TrainerEvents {
  std::function<void(const StepMetrics&, bool logged)> on_step;
  // Within a step, with stream_segments.
  std::function<void(StreamPass, int64_t done, int64_t total)> on_segment;
  std::function<void(const Progress&)> save;  // may throw; a full disk is the callee's to report
};

enum class RunEnd { kFinished, kStopped };

class Trainer {
 public:
  // The optimizer is lent: who makes the run restores and saves its state.
  Trainer(const nn::CausalLm& model, nn::ForwardOptions forward, std::vector<optim::TrainedParameter> parameters,
          optim::AdamW& optimizer, const data::BatchSource& samples, const config::TrainConfig& config,
          TrainerEvents events);

  // From `start` to the last step, or until a stop signal (base/signals.h) arrives: then the step in hand is dropped,
  // the state before it is saved, and kStopped returned. Throws when --max_nonfinite_steps steps in a row had a loss or
  // gradient that is not finite, and at the first such step when no update was made before and a weight is not finite.
  RunEnd run(const Progress& start);

  const Progress& progress() const { return progress_; }
  int64_t total_steps() const { return schedule_.total_steps; }

 private:
  // What the micro-batches of a step have added up, beside the gradients.
  struct StepSums {
    at::Tensor loss;  // a float64 scalar on the device
    int64_t tokens = 0;
  };
  struct StepOutcome {
    double loss = 0;
    double grad_norm = 0;
    double hici_grad_norm = 0;
    int64_t tokens = 0;
  };

  // nullopt when a stop signal came in between.
  std::optional<StepSums> compute_gradients(const StepBatches& step);
  // The micro-batch's share of the loss on the device, with its gradients collected; undefined when a stop signal came.
  at::Tensor run_micro_batch(const MicroBatch& micro, int64_t targets_in_step);
  at::Tensor on_device(const at::Tensor& t) const;
  nn::ForwardOptions forward_of(const data::TokenBatch& batch) const;
  at::Tensor sum_of_losses(const MicroBatch& micro) const;
  RunEnd stop();
  StepOutcome clip_gradients(const StepSums& sums);
  bool update(const StepOutcome& outcome, const StepBatches& step);
  void report(const StepOutcome& outcome);
  void save_if_due();
  void save_unless_saved();  // at the end of a run

  const nn::CausalLm& model_;
  nn::ForwardOptions forward_;
  const data::BatchSource& samples_;
  config::TrainConfig config_;
  TrainerEvents events_;
  at::Device device_;
  optim::Schedule schedule_;
  optim::AdamW& optimizer_;
  GradientAccumulator gradients_;
  bool has_hici_;             // whether parameters of HiCI modules are trained
  bool has_updated_ = false;  // in this process
  Progress progress_;
  int64_t last_saved_step_ = -1;
  int64_t nonfinite_in_a_row_ = 0;
  int64_t tokens_since_report_ = 0;
  std::chrono::steady_clock::time_point started_, last_report_;
};

}  // namespace hici::train
