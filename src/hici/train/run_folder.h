// SPDX-License-Identifier: Apache-2.0
// The output directory of a run, prepared before a model is loaded: taken for this process, cleaned of what dead ones
// left there, and looked through for the checkpoint to go on from. All that changes files before the first step is
// here, in open_training_data() (data.bin) and in RunRecord::begin(); of several processes one does it.
#pragma once

#include "hici/base/run_lock.h"
#include "hici/io/checkpoint/store.h"
#include "hici/io/checkpoint/training_state.h"
#include "hici/parallel/world.h"
#include "hici/train/training_spec.h"

#include <filesystem>
#include <optional>

namespace hici::train {

constexpr const char* kOptionsName = "options.ini";

// Where this run starts from: nothing, or a checkpoint that was found and verified.
struct ResumePoint {
  std::optional<std::filesystem::path> checkpoint;  // to go on from
  std::optional<std::filesystem::path> weights;     // of pre-training, to start fine-tuning from
  io::TrainingState state;
};

// Of the process that leads a run.
struct RunFolder {
  // Errors: another process has the folder, the checkpoint to go on from is not whole, or a new run finds an old one.
  explicit RunFolder(const TrainingRunSpec& spec);

  RunLock lock;
  io::CheckpointStore store;
  ResumePoint resume;
};

// What all processes of a run know of its folder.
struct RunStart {
  // In a dry run the folder is looked at alone.
  //
  // The leader prepares the folder, and all look at the checkpoint that it found there: an error where a process does
  // not see it.
  RunStart(const TrainingRunSpec& spec, const parallel::World& world);

  std::optional<RunFolder> folder;  // in the leader, but for a dry run
  ResumePoint resume;
};

}  // namespace hici::train
