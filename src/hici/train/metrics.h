// SPDX-License-Identifier: Apache-2.0
// What a training run tells about itself, per logged step and evaluation: a line of `metrics.jsonl`, scalars in a
// TensorBoard event file, and what a person sees. Written by rank 0 only.
#pragma once

#include "hici/base/append_file.h"
#include "hici/train/event_file.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace hici::train {

struct StepMetrics {
  int64_t step = 0;           // optimizer steps done, from 1
  double epoch = 0;           // passes over the data, with the fraction of the present one
  double loss = 0;            // mean over the target tokens of this step
  double grad_norm = 0;       // of all gradients, before clipping
  double hici_grad_norm = 0;  // of the HiCI parameters' gradients, before clipping
  bool has_hici = true;       // false: no such parameter is trained, and people see no norm of them
  double learning_rate = 0;
  double hici_learning_rate = 0;
  int64_t tokens = 0;  // seen since step 0
  double tokens_per_second = 0;
  int64_t peak_memory_bytes = 0;  // on a GPU of its tensors, on a CPU of this process
  double seconds = 0;             // since this process started to train
  // Of several processes: the rank whose own work took the longest since the previous logged step, up to where
  // gradients meet, and its time as a multiple of the mean of all. Nothing of one process.
  std::optional<int64_t> slowest_rank = {};
  double slowest_rank_time = 0;
};

// An evaluation between two steps, of the data set of --eval_data_path.
struct EvaluationMetrics {
  int64_t step = 0;  // optimizer steps done before it
  double epoch = 0;  // of the training data, as in StepMetrics
  double loss = 0;   // mean over the target tokens, nats
  int64_t targets = 0;
  double seconds = 0;

  double perplexity() const;  // exp(loss)
};

// Of the steps that a run has shown or kept, those before it was resumed included.
struct RunLosses {
  double last = 0;
  double lowest = 0;
  int64_t lowest_step = 0;  // 0: there was no step yet

  void add(int64_t step, double loss);
};

class MetricsWriter {
 public:
  static constexpr const char* kFileName = "metrics.jsonl";

  // `resume_step` is the step of the checkpoint that training goes on from, 0 for a new run. Lines of a dead run after
  // that step are cut off, so that no step is there twice; the lines of another run are kept aside as metrics.1.jsonl.
  MetricsWriter(const std::filesystem::path& output_dir, int64_t resume_step, int64_t total_steps);

  // Only what a person sees on a terminal; for steps that are not logged.
  void show(const StepMetrics& metrics);
  // Both files and the live line (a plain line when stderr is no terminal).
  void log(const StepMetrics& metrics);
  // Both files, and a line of its own for people.
  void log_evaluation(const EvaluationMetrics& metrics);
  // Ends the live line. A warning says how many lines of metrics.jsonl a full disk has cost.
  void finish() const;

  const RunLosses& losses() const { return losses_; }
  // Loss of each evaluation by its step, those before the run was resumed included.
  const std::map<int64_t, double>& evaluations() const { return evaluations_; }

 private:
  std::string line_for_people(const StepMetrics& metrics) const;

  RunLosses losses_;  // these two before lines_, whose file is read for them
  std::map<int64_t, double> evaluations_;
  int64_t resume_step_;
  int64_t total_steps_;
  AppendFile lines_;
  EventFileWriter events_;
};

// Whether the metrics.jsonl of a run has an evaluation after `step`.
bool has_evaluation(const std::filesystem::path& output_dir, int64_t step);

// A line of metrics.jsonl, with its end. A number that is not finite is written as null: JSON has no other word for it.
std::string metrics_line(const StepMetrics& metrics);
std::string metrics_line(const EvaluationMetrics& metrics);

// `step 12/300  loss 2.3456  grad 0.512  hici 0.043  8.1k tokens/s  412 MiB  1m05s left`; of several processes also
// `slowest rank 3 +4 %` behind tokens/s, where it is 1 % or more
std::string step_text(const StepMetrics& metrics, int64_t total_steps, double seconds_left);
// `step 12/300  evaluation loss 2.3456  perplexity 10.44  4.2k target tokens in 1.20 s`
std::string evaluation_text(const EvaluationMetrics& metrics, int64_t total_steps);

}  // namespace hici::train
