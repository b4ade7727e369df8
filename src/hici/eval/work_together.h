// SPDX-License-Identifier: Apache-2.0
// A resumable loop over cases on which processes of a run work together, through collectives. In each round every group
// of processes that share a sequence has a case. The leader alone keeps the answers: where there is an output, in the
// journal of a run of one process, so that any other run goes on from it, and no other host needs to see the file.
#pragma once

#include "hici/eval/shared_work.h"
#include "hici/parallel/world.h"

#include <functional>
#include <vector>

namespace hici::eval {

// Called in all processes with the cases of a round: case i is that of the i-th group, and where the last round has
// fewer cases than there are groups the last groups have none. Returns the answers to all of them, in their order; only
// the leader's are read.
using AnswerRound = std::function<std::vector<nlohmann::json>(const std::vector<int64_t>& cases)>;

// As share_cases(), in all processes of `world`. The leader calls `merge`. An empty work.output: answers are kept in
// memory. A stop signal in one process ends the loop in all of them before the same round: returns the signal, else 0.
int work_together(const parallel::World& world, const SharedWork& work, int64_t num_cases, const AnswerRound& answer,
                  const MergeAnswers& merge);

}  // namespace hici::eval
