// SPDX-License-Identifier: Apache-2.0
// The 21 data sets of LongBench (Bai et al., arXiv 2308.14508): how each is scored, and the groups of its tables.
#pragma once

#include "hici/base/enum_names.h"

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

// As tables have them.
constexpr EnumNames<LongBenchMetric, 9> names_of(LongBenchMetric) {
  using enum LongBenchMetric;
  return {"metric",
          {{{kQaF1, "F1"},
            {kQaF1Chinese, "F1"},
            {kRougeL, "ROUGE-L"},
            {kRougeLChinese, "ROUGE-L"},
            {kClassification, "accuracy"},
            {kRetrieval, "accuracy"},
            {kRetrievalChinese, "accuracy"},
            {kCount, "accuracy"},
            {kCodeSimilarity, "edit similarity"}}}};
}

enum class LongBenchGroup { kSingleDocQa, kMultiDocQa, kSummarisation, kFewShot, kSynthetic, kCode };
constexpr size_t kNumLongBenchGroups = 6;
constexpr EnumNames<LongBenchGroup, kNumLongBenchGroups> names_of(LongBenchGroup) {
  using enum LongBenchGroup;
  return {"group of tasks",
          {{{kSingleDocQa, "single-doc QA"},
            {kMultiDocQa, "multi-doc QA"},
            {kSummarisation, "summarisation"},
            {kFewShot, "few-shot"},
            {kSynthetic, "synthetic"},
            {kCode, "code"}}}};
}

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

}  // namespace hici::eval
