// SPDX-License-Identifier: Apache-2.0
// A loop over cases that the processes of a run (torchrun, Slurm) share, or that goes on where it was stopped: the loop
// around CaseJournal of evaluations whose case is a batch of windows.
#pragma once

#include "hici/base/json.h"
#include "hici/eval/case_journal.h"

namespace hici::eval {

struct SharedWork {
  std::filesystem::path output;  // what `merge` writes: JSON that has the keys of `identity`
  nlohmann::json identity;       // all that decides the answers; the same in every process
  ProcessRank process;
  bool resume = false;
  std::vector<std::string> required = {};  // FinishedRecord::required
  bool replaces_result = false;            // without `resume`: an earlier result under `output` is no error
};

// `answers` in the order of the cases, and the seconds of the process that took longest for its own.
using MergeAnswers = std::function<void(const std::vector<nlohmann::json>& answers, double seconds)>;

// Calls `answer` for each case of this process that has none yet, with a line of progress; then, in the process that
// finds every answer, `merge`, which must write work.output atomically. True when `merge` was called. Looks at the stop
// signals before each case and throws Stopped; the answers until then are kept.
bool share_cases(const SharedWork& work, int64_t num_cases, const std::function<nlohmann::json(int64_t)>& answer,
                 const MergeAnswers& merge);

// The numbers of a list in an answer; anything else there is an hici::Error that begins with `subject`.
std::vector<double> numbers_of(const nlohmann::json& list, const std::string& subject);

}  // namespace hici::eval
