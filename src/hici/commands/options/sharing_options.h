// SPDX-License-Identifier: Apache-2.0
// Evaluations whose batches the processes of a run (torchrun, Slurm) share, and which go on where they were stopped.
#pragma once

#include "hici/commands/command.h"
#include "hici/eval/shared_work.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace hici::commands {

struct SharingOptions {
  bool resume = false;

  void bind(CLI::App& command);
  // Answers go through journals beside --output; several processes and --resume need one.
  void check(const std::string& output) const;
  // Of that --resume alone, where processes meet in another way.
  void check_resume(const std::string& output) const;
  // A result that is there already is replaced by one process, and an error to several, one of which may have written
  // it. `settings`: all that repeats the evaluation. What may differ between its processes is left
  // out (eval::identity_of()).
  // `required`: keys of the result in every version. `process`: who has which cases; one for whom others work along is
  // a run of one process.
  eval::SharedWork work(const std::string& output, const nlohmann::json& settings,
                        const std::vector<std::string>& required, const ProcessRank& process = process_rank()) const;
};

}  // namespace hici::commands
