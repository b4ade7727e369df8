// SPDX-License-Identifier: Apache-2.0
// Scores of LongEval's retrieval: one row for each model, one column for each number of topics or lines.
#pragma once

#include "hici/report/tables/table.h"

#include <vector>

namespace hici::report {

enum class ScoredBy { kRule, kJudge };

// The share of right answers to one of the tasks, as one of both scored it; no rows when there are none. A row says
// which model judged.
Table retrieval_table(const std::vector<RetrievalResult>& results, eval::RetrievalTask task, ScoredBy scored_by);
// Right and all answers to both tasks, one row for each file of answers and scorer.
Table retrieval_counts(const std::vector<RetrievalResult>& results);

}  // namespace hici::report
