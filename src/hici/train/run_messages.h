// SPDX-License-Identifier: Apache-2.0
// What a training run says of itself: what it works on, where it goes on from, how it ended and what can be done next.
#pragma once

#include "hici/io/load_model.h"
#include "hici/optim/adamw.h"
#include "hici/plan/step_plan.h"
#include "hici/train/run_record.h"
#include "hici/train/training_data.h"
#include "hici/train/training_spec.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hici::train {

// Model, attention and data, a line each.
void log_start(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
               const std::vector<optim::TrainedParameter>& trained, const TrainingData& data, int64_t total_steps);

// "evaluation FILE: 12 blocks of 96 tokens; after every 2nd step and the last one"
void log_evaluation_plan(const TrainingData& data, int64_t steps);

// What a dry run found: steps, tokens, checkpoints, and on GPUs the time that the plan predicts.
void log_dry_run(const TrainingRunSpec& spec, const plan::PlannedStep& planned, const SavesToCome& saves,
                 int64_t steps);

// "resuming from RUN/checkpoint-6: 6 of 12 steps are done", or that there is nothing to do.
void log_resume(const TrainingRunSpec& spec, const std::filesystem::path& checkpoint, int64_t step,
                int64_t total_steps);

// "RUN: finished 12 steps in 8.31 s; loss 2.3456, lowest 2.3123 at step 9", and next_command().
// With evaluation a second line says their last loss and which checkpoint is the best.
void log_finished(const TrainingRunSpec& spec, const TrainingData& data, const RunRecord& record, int64_t steps,
                  int64_t total_steps);

// A command that tries what the run made, all filled in and quoted for a shell: `hici eval ppl` over the tokens that it
// was trained on, up to 64 windows; after fine-tuning, which has no file of tokens, `hici generate` in the form of its
// examples. Empty where there is none: a file of one block has no next token behind it. `best`: of the checkpoint of
// that step, where the run asks for it.
std::string next_command(const TrainingRunSpec& spec, const TrainingData& data, int64_t total_steps,
                         std::optional<int64_t> best = {});

}  // namespace hici::train
