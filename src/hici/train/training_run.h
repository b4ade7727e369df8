// SPDX-License-Identifier: Apache-2.0
// One call of `hici train` or `hici sft`: its folder is prepared, the run is built, and it goes step by step to its
// end. With several processes each of them does so, on its share of every step.
#pragma once

#include "hici/io/opened_model.h"
#include "hici/parallel/world.h"
#include "hici/train/run_folder.h"
#include "hici/train/training_spec.h"

#include <functional>
#include <optional>

namespace hici::train {

class TrainingRun {
 public:
  // Takes the folder, finds the checkpoint to go on from and opens the files of the model. No weight is read. `spec`
  // and `world` must live as long as the run.
  TrainingRun(const TrainingRunSpec& spec, const parallel::World& world);

  // What the files say, for the caller who settles the HiCI settings.
  const io::OpenedModel& model() const { return *opened_; }

  // Once. Exit code of the process: 0 finished, 128 + signal after a saved stop, 1 when a checkpoint could not be
  // saved.
  int run(const config::HiciConfig& hici);

 private:
  const TrainingRunSpec& spec_;
  const parallel::World& world_;
  RunStart start_;
  const io::ModelRequest request_;
  std::optional<io::OpenedModel> opened_;  // until the model is loaded
};

// Joins the processes that the launcher started, notes in `spec` how they share a step, and works, with stop signals as
// flags. Where one process fails all end (parallel/world.h). Returns what `work` returns.
int with_processes(TrainingRunSpec& spec, const std::function<int(const parallel::World&)>& work);

}  // namespace hici::train
