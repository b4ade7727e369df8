// SPDX-License-Identifier: Apache-2.0
// Options of transformers' Trainer, and of the research code's and LongLoRA's scripts, that have one value with a
// meaning here, or none.
#pragma once

#include <CLI/CLI.hpp>

namespace hici::commands {

// A value that would change what is trained is a usage error with the way to have it.
void add_trainer_options(CLI::App& app);

}  // namespace hici::commands
