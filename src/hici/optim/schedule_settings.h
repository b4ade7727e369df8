// SPDX-License-Identifier: Apache-2.0
// The schedule of a run as its options say: `schedule`, `schedule_kwargs`, the warm-up and the learning rate.
#pragma once

#include "hici/config/train_config.h"
#include "hici/optim/schedule.h"

#include <cstdint>
#include <string>

namespace hici::optim {

// Usage errors: a kind that is unknown or follows an evaluation, and `schedule_kwargs` that are no JSON object, lack
// what the kind needs, have what it does not take, or are out of range. `schedule_kwargs` are those of transformers'
// functions. Rates in them (min_lr, lr_end) are parts of `learning_rate`; both groups of parameters have the factor.
Schedule make_schedule(const config::TrainConfig& config, int64_t total_steps);

// `schedule_kwargs` in one spelling, so that equal settings are equal texts; "" where nothing is set.
std::string canonical_schedule_kwargs(const config::TrainConfig& config);

}  // namespace hici::optim
