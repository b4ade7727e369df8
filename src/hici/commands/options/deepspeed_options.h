// SPDX-License-Identifier: Apache-2.0
// --deepspeed: what the file says becomes the value of options that were not typed.
#pragma once

#include "hici/commands/options/deepspeed_file.h"

#include <cstdint>
#include <map>
#include <string>

namespace hici::commands {

struct TrainingOptions;

// The options that `settings`, of the file of --deepspeed, decided: name and value as typed. A typed option with
// another value than the file's, and a train_batch_size that is no product of the others and of `data_processes`, which
// take sequences side by side, are usage errors.
std::map<std::string, std::string> apply_deepspeed(const DeepspeedSettings& settings, int64_t data_processes,
                                                   TrainingOptions& options);

}  // namespace hici::commands
