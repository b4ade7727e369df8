// SPDX-License-Identifier: Apache-2.0
// A run built from its options and its folder: the model and what it learns from; then its parameters, the plan of a
// step, and the optimizer.
#pragma once

#include "hici/io/checkpoint/training_state.h"
#include "hici/io/load_model.h"
#include "hici/io/opened_model.h"
#include "hici/plan/step_plan.h"
#include "hici/train/run_folder.h"
#include "hici/train/training_data.h"

#include <optional>
#include <vector>

namespace hici::train {

struct RunInputs {
  io::LoadedModel loaded;
  nn::ForwardOptions forward;  // without activation policies
  TrainingData data;
  std::optional<TrainingData> evaluation;
  io::TrainingState identity;  // what this run is, for its checkpoints
  int64_t total_steps = 0;
};

// The files that the run's model begins with: the base, and an adapter or the checkpoint to start from.
io::ModelRequest model_to_train(const TrainingRunSpec& spec, const ResumePoint& resume);

// `model` and `opened` are model_to_train() and its files; `hici` are the settings to use. A run that goes on must be
// what its checkpoint was, and the processes of a run must have the same of everything.
RunInputs load_inputs(const TrainingRunSpec& spec, const ResumePoint& resume, const io::ModelRequest& model,
                      const io::OpenedModel& opened, const config::HiciConfig& hici, const parallel::World& world);

struct RunStep {
  std::vector<optim::TrainedParameter> trained;
  plan::PlannedStep planned;
  nn::ForwardOptions forward;
};

// Marks the trained parameters, puts the frozen ones in --base_format, and plans the memory of a step. An error
// when no activation policies of ours fit. All processes choose what fits the one with the least memory.
RunStep build_step(const TrainingRunSpec& spec, const RunInputs& inputs, const parallel::World& world);

}  // namespace hici::train
