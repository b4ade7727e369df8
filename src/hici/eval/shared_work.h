// SPDX-License-Identifier: Apache-2.0
// A resumable loop over cases, which the processes of a run (torchrun, Slurm) divide among themselves. It uses
// CaseJournal for evaluations whose case is a batch of windows.
#pragma once

#include "hici/base/json.h"
#include "hici/eval/case_journal.h"

namespace hici::eval {

struct SharedWork {
  std::filesystem::path output;  // the file that `merge` writes: JSON with the keys of `identity`
  nlohmann::json identity;       // all settings that affect answers; the same in every process
  ProcessRank process;
  bool resume = false;
  std::vector<std::string> required = {};  // FinishedRecord::required
  bool replaces_result = false;            // without `resume`: an earlier result under `output` is no error
};

// `answers` in the order of the cases; `seconds` of the slowest process.
using MergeAnswers = std::function<void(const std::vector<nlohmann::json>& answers, double seconds)>;

// Calls `answer` for each unanswered case of this process, with a line of progress. The process that finds every answer
// then calls `merge`, which must write work.output atomically. True if `merge` was called. Checks for stop signals
// before each case and throws Stopped; earlier answers are kept.
bool share_cases(const SharedWork& work, int64_t num_cases, const std::function<nlohmann::json(int64_t)>& answer,
                 const MergeAnswers& merge);

// An answer as journals keep it. `rank`: of the process that took these seconds.
nlohmann::json timed_answer(nlohmann::json answer, int64_t rank, double seconds);
// Calls `merge` with what timed_answer() was given, for all cases.
void merge_timed(const SharedWork& work, const std::vector<nlohmann::json>& timed, const MergeAnswers& merge);

// One journal for the cases of `work` that this process has.
std::unique_ptr<CaseJournal> open_journal(const SharedWork& work, int64_t num_cases);

// The numbers of a list in an answer. Anything else in the list is an hici::Error that begins with `subject`.
std::vector<double> numbers_of(const nlohmann::json& list, const std::string& subject);

}  // namespace hici::eval
