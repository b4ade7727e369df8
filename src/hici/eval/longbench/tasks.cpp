// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/tasks.h"

#include "hici/base/error.h"

#include <algorithm>
#include <array>

namespace hici::eval {
namespace {

using enum LongBenchMetric;
using enum LongBenchGroup;

// clang-format off: one data set a line
constexpr std::array<LongBenchTask, 21> kTasks = {{
    {"narrativeqa", kQaF1, kSingleDocQa, 200},
    {"qasper", kQaF1, kSingleDocQa, 200},
    {"multifieldqa_en", kQaF1, kSingleDocQa, 150},
    {"multifieldqa_zh", kQaF1Chinese, kSingleDocQa, 200},
    {"hotpotqa", kQaF1, kMultiDocQa, 200},
    {"2wikimqa", kQaF1, kMultiDocQa, 200},
    {"musique", kQaF1, kMultiDocQa, 200},
    {"dureader", kRougeLChinese, kMultiDocQa, 200},
    {"gov_report", kRougeL, kSummarisation, 200},
    {"qmsum", kRougeL, kSummarisation, 200},
    {"multi_news", kRougeL, kSummarisation, 200},
    {"vcsum", kRougeLChinese, kSummarisation, 200},
    {"trec", kClassification, kFewShot, 200, true},
    {"triviaqa", kQaF1, kFewShot, 200, true},
    {"samsum", kRougeL, kFewShot, 200, true},
    {"lsht", kClassification, kFewShot, 200, true},
    {"passage_count", kCount, kSynthetic, 200},
    {"passage_retrieval_en", kRetrieval, kSynthetic, 200},
    {"passage_retrieval_zh", kRetrievalChinese, kSynthetic, 200},
    {"lcc", kCodeSimilarity, kCode, 500},
    {"repobench-p", kCodeSimilarity, kCode, 500},
}};
// clang-format on

}  // namespace

std::span<const LongBenchTask> longbench_tasks() { return kTasks; }

const LongBenchTask* find_longbench_task(std::string_view name) {
  const auto* found =
      std::find_if(kTasks.begin(), kTasks.end(), [&](const LongBenchTask& task) { return task.name == name; });
  return found == kTasks.end() ? nullptr : found;
}

std::string longbench_task_names() {
  std::string names;
  for (const LongBenchTask& task : kTasks) names += (names.empty() ? "" : ", ") + std::string(task.name);
  return names;
}

}  // namespace hici::eval
