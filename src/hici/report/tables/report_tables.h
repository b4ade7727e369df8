// SPDX-License-Identifier: Apache-2.0
// The tables of a report, in the order of its page: each holds comparable numbers alone (report/conditions.h). Those
// that would be empty are left out.
#pragma once

#include "hici/report/tables/table.h"

#include <vector>

namespace hici::report {

// Topics and lines, each by rule and by judge.
std::vector<Table> retrieval_tables(const ReportData& data);
// LongBench by group and by data set; LongBench-E by length.
std::vector<Table> longbench_tables(const std::vector<LongBenchResult>& results);

// All of them, and those for files alone. Their names differ.
std::vector<Table> report_tables(const ReportData& data);

}  // namespace hici::report
