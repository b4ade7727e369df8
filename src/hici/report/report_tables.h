// SPDX-License-Identifier: Apache-2.0
// The tables of a report, in the order of its page; those that would be empty are left out.
#pragma once

#include "hici/report/table.h"

#include <vector>

namespace hici::report {

// Topics and lines, each by rule and by judge.
std::vector<Table> retrieval_tables(const ReportData& data);
// LongBench by group and by data set; LongBench-E by length.
std::vector<Table> longbench_tables(const ReportData& data);

// All of them, and those for files alone.
std::vector<Table> report_tables(const ReportData& data);

}  // namespace hici::report
