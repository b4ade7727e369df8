// SPDX-License-Identifier: Apache-2.0
// Scores of a model's predictions on LongBench: a folder with DATASET.jsonl, a prediction on each line, as LongBench's
// pred.py and `hici eval longbench` write them.
#pragma once

#include "hici/eval/longbench/metrics.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hici::eval {

// The buckets of LongBench-E, by the length of the context: below 4000, below 8000, and above.
constexpr std::array<std::string_view, 3> kLongBenchBuckets = {"0-4k", "4-8k", "8k+"};

struct LongBenchScore {
  int64_t num_rows = 0;
  double score = std::numeric_limits<double>::quiet_NaN();  // 0 to 100, two decimals; NaN: no row
};

struct LongBenchTaskScore {
  const LongBenchTask* task = nullptr;
  LongBenchScore all;
  std::array<LongBenchScore, kLongBenchBuckets.size()> buckets;  // only when asked for
};

struct LongBenchModelScores {
  std::string model;                                   // name of the folder
  std::vector<LongBenchTaskScore> tasks;               // those that have predictions, in LongBench's order
  std::optional<CodeRatio> code_ratio = std::nullopt;  // not known of scores that others made

  const LongBenchTaskScore* find(const LongBenchTask& task) const {
    const auto found = std::find_if(tasks.begin(), tasks.end(), [&](const auto& score) { return score.task == &task; });
    return found == tasks.end() ? nullptr : &*found;
  }
  // True if a data set is scored by code_ratio.
  bool has_code() const {
    return std::any_of(tasks.begin(), tasks.end(),
                       [](const auto& score) { return score.task->metric == LongBenchMetric::kCodeSimilarity; });
  }
};

struct LongBenchScoring {
  std::vector<std::string> datasets;  // empty: all that have a file
  bool by_length = false;             // -e: the buckets as well; num_rows of the data sets is not checked
  CodeRatio code_ratio = CodeRatio::kLevenshtein;
};

// Scores a folder on all cores. A .jsonl file that is no data set of LongBench is an error.
LongBenchModelScores score_longbench(const std::filesystem::path& folder, const LongBenchScoring& options);

// The content of result.json, as LongBench's eval.py writes it: data set to score, or to an object of buckets. A bucket
// without rows is null, where Python writes NaN, which is no JSON.
nlohmann::ordered_json longbench_result(const LongBenchModelScores& scores, bool by_length);

// To two decimals as Python's round() does it: by the exact value, halves to even.
double rounded_to_cents(double value);

}  // namespace hici::eval
