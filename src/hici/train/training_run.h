// SPDX-License-Identifier: Apache-2.0
// One call of `hici train` or `hici sft`: its folder is prepared, the run is built, and it goes step by step to its
// end.
#pragma once

#include "hici/train/training_spec.h"

namespace hici::train {

// Exit code of the process: 0 finished, 128 + signal after a saved stop, 1 when a checkpoint could not be saved.
int run_training(const TrainingRunSpec& spec);

}  // namespace hici::train
