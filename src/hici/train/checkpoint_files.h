// SPDX-License-Identifier: Apache-2.0
// What a training checkpoint holds: the adapter (or, with --low_rank_training False, the whole model) in the form that
// --peft_model and --init_adapter (or --base_model) take, and beside it the training state.
#pragma once

#include "hici/io/checkpoint/training_state.h"
#include "hici/io/load_model.h"
#include "hici/train/optimizer_state.h"
#include "hici/train/trainer.h"
#include "hici/train/training_data.h"
#include "hici/train/training_spec.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace hici::train {

struct CheckpointContent {
  const io::LoadedModel& loaded;
  const TrainingRunSpec& spec;
  const std::vector<optim::TrainedParameter>& trained;
  const OptimizerState& optimizer;
  io::TrainingState state;
};

// The run as it is described to check_resumable(), without a position. Start options are those that were typed.
io::TrainingState describe_run(const TrainingRunSpec& spec, const io::LoadedModel& loaded, const TrainingData& data);
// The start options in force: those of `saved`, the state that a run goes on from, else (null) what options and adapter
// say. Rank and scale are the model's.
std::map<std::string, std::string> start_options_in_force(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
                                                          const io::TrainingState* saved);
// By the names of options: all that the files of this model decided where nothing was typed. For options.ini.
std::map<std::string, std::string> options_of_model(const TrainingRunSpec& spec, const io::LoadedModel& loaded);
// Whether the run that this describes was fine-tuning.
bool is_fine_tuning(const io::TrainingState& run);
// The same run at a position.
io::TrainingState state_at(io::TrainingState run, const Progress& progress);

// What write_checkpoint_files() will take on disk: the sizes of its files, counted and not guessed.
uint64_t checkpoint_bytes(const CheckpointContent& content);
void write_checkpoint_files(const std::filesystem::path& folder, const CheckpointContent& content);

}  // namespace hici::train
