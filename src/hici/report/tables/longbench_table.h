// SPDX-License-Identifier: Apache-2.0
// LongBench scores in the form that papers print: a row for each model, a column for each group of data sets and for
// each data set; and by length of the context.
#pragma once

#include "hici/report/tables/table.h"

#include <vector>

namespace hici::report {

// A group's score is the mean over those of its data sets that were scored; "tasks" is the mean over all of these, and
// "groups" the mean of the groups, which is LongBench's overall score. All are NaN where nothing was scored.
// One row for each model: groups, then both means. Means over other data sets are other numbers: all models must have
// the same ones scored (same_tasks()).
Table longbench_groups(const std::vector<LongBenchResult>& models);
// One row for each data set, one column for each model.
Table longbench_datasets(const std::vector<LongBenchResult>& models);
// One row for each model and data set, then for each group and for both means; one column for each bucket of lengths.
Table longbench_by_length(const std::vector<LongBenchResult>& models);

// Models in lists that have scores on the same data sets.
std::vector<std::vector<LongBenchResult>> same_tasks(const std::vector<LongBenchResult>& models);

}  // namespace hici::report
