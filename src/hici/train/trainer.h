// SPDX-License-Identifier: Apache-2.0
// The training loop. It reads as a table of contents: forward and backward, clip, update, log, save.
#pragma once

#include "hici/config/train_config.h"
#include "hici/data/batch_source.h"
#include "hici/device/time_mark.h"
#include "hici/nn/causal_lm.h"
#include "hici/optim/adamw.h"
#include "hici/optim/schedule.h"
#include "hici/train/batch_prefetcher.h"
#include "hici/train/evaluator.h"
#include "hici/train/gradient_accumulator.h"
#include "hici/train/metrics.h"
#include "hici/train/parameter_shards.h"
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
  std::function<void(int64_t done, int64_t total)> on_evaluation_batches = {};
  // Before the checkpoint of that step is saved.
  std::function<void(const EvaluationMetrics&)> on_evaluation = {};
};

// When a run evaluates: after every `steps`-th step and after the last one.
struct EvaluationPlan {
  const Evaluator* evaluator = nullptr;  // null: never
  int64_t steps = 0;                     // 0: only at the end
  bool is_first = false;                 // also before the first step of this process

  bool is_due_after(int64_t step, int64_t total_steps) const {
    return evaluator != nullptr && ((steps > 0 && step % steps == 0) || step == total_steps);
  }
};

enum class RunEnd { kFinished, kStopped };

class Trainer {
 public:
  // Shards and optimizer are lent: who makes the run restores and saves their state. The optimizer updates
  // shards.updated(). Of several processes all run theirs alike, each on its share of a step.
  Trainer(const nn::CausalLm& model, nn::ForwardOptions forward, ParameterShards& shards, optim::AdamW& optimizer,
          const data::BatchSource& samples, const config::TrainConfig& config, TrainerEvents events,
          const EvaluationPlan& evaluation = {});

  // From `start` to the last step, or until a stop signal (base/signals.h) arrives in one of the processes: then the
  // step or evaluation in hand is dropped, the state before it is saved, and kStopped returned. Throws when
  // --max_nonfinite_steps steps in a row had a loss or gradient that is not finite, and at the first such step when no
  // update was made before and a weight is not finite.
  RunEnd run(const Progress& start);

  const Progress& progress() const { return progress_; }
  int64_t total_steps() const { return schedule_.total_steps; }
  int stop_signal() const { return stop_signal_; }  // that ended run(); 0 otherwise

 private:
  // Of a step over all processes.
  struct StepCounts {
    int64_t targets = 0;
    int64_t tokens = 0;
  };
  struct StepOutcome {
    double loss = 0;
    double grad_norm = 0;
    double hici_grad_norm = 0;
    int64_t tokens = 0;
  };

  StepCounts count(const StepBatches& step) const;
  // This process's share of the loss, a float64 scalar on the device; undefined when a stop signal came in between.
  at::Tensor compute_gradients(const StepBatches& step, const StepCounts& counts);
  // Whether one of the processes was asked to stop; all get the same answer.
  bool should_stop();
  // The micro-batch's share of the loss on the device, with its gradients collected; undefined when a stop signal came.
  at::Tensor run_micro_batch(const MicroBatch& micro, int64_t targets_in_step);
  at::Tensor on_device(const at::Tensor& t) const;
  nn::ForwardOptions forward_of(const MicroBatch& micro) const;
  nn::Dropout dropout_of(const MicroBatch& micro) const;
  double epoch() const;  // passes over the data, with the fraction of the present one
  bool evaluate();       // false when a stop signal came
  at::Tensor sum_of_losses(const MicroBatch& micro) const;
  RunEnd stop();
  StepOutcome reduce_and_clip(const at::Tensor& own_loss, const StepCounts& counts);
  bool update(const StepOutcome& outcome, const StepBatches& step);
  void report(const StepOutcome& outcome);
  // Of all processes since the last logged step.
  void add_slowest_rank(StepMetrics& metrics);
  void save_if_due();
  void save_unless_saved();  // at the end of a run

  const nn::CausalLm& model_;
  nn::ForwardOptions forward_;
  const data::BatchSource& samples_;
  config::TrainConfig config_;
  TrainerEvents events_;
  EvaluationPlan evaluation_;
  at::Device device_;
  optim::Schedule schedule_;
  ParameterShards& shards_;
  const parallel::World& world_;
  optim::AdamW& optimizer_;
  GradientAccumulator gradients_;    // of this process
  std::vector<at::Tensor> reduced_;  // of all, for shards_.updated()
  int stop_signal_ = 0;
  bool has_hici_;             // whether parameters of HiCI modules are trained
  bool has_updated_ = false;  // in this process
  Progress progress_;
  int64_t last_saved_step_ = -1;
  int64_t nonfinite_in_a_row_ = 0;
  int64_t tokens_since_report_ = 0;
  // Of several processes: the work of this one, up to where gradients meet.
  std::optional<device::TimeMark> work_began_;
  double own_seconds_since_report_ = 0;
  std::chrono::steady_clock::time_point started_, last_report_;
};

}  // namespace hici::train
