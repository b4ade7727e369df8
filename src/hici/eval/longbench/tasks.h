// SPDX-License-Identifier: Apache-2.0
// The 21 data sets of LongBench (Bai et al., arXiv 2308.14508): how each is scored, and the groups of its tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace hici::eval {

enum class LongBenchMetric {
  kQaF1,
  kQaF1Chinese,
  kRougeL,
  kRougeLChinese,
  kClassification,
  kRetrieval,
  kRetrievalChinese,
  kCount,
  kCodeSimilarity
};

enum class LongBenchGroup { kSingleDocQa, kMultiDocQa, kSummarisation, kFewShot, kSynthetic, kCode };
constexpr size_t kNumLongBenchGroups = 6;

struct LongBenchTask {
  std::string_view name;
  LongBenchMetric metric;
  LongBenchGroup group;
  int64_t num_rows;              // of the data set; LongBench-E has other numbers
  bool first_line_only = false;  // of a prediction counts only its first line that is not empty
};

// In the order of LongBench's tables.
std::span<const LongBenchTask> longbench_tasks();
// NULL when there is no such data set.
const LongBenchTask* find_longbench_task(std::string_view name);
// "narrativeqa, qasper, ..."
std::string longbench_task_names();

std::string_view name_of(LongBenchMetric metric);  // "F1", "ROUGE-L", ...
std::string_view name_of(LongBenchGroup group);    // "single-doc QA", ...

}  // namespace hici::eval
