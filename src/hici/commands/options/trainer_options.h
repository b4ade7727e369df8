// SPDX-License-Identifier: Apache-2.0
// Options of transformers' Trainer, and of the research code's and LongLoRA's scripts, that have one value with a
// meaning here, or none.
#pragma once

#include <CLI/CLI.hpp>

namespace hici::commands {

void add_trainer_options(CLI::App& app);
// After parsing: a usage error for a value that would change what is trained, with the way to have it.
void check_trainer_options(const CLI::App& app);

}  // namespace hici::commands
