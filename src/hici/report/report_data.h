// SPDX-License-Identifier: Apache-2.0
// What a report is about, as read from run directories: training runs step by step, and what was measured on models.
#pragma once

#include "hici/eval/longbench_scores.h"
#include "hici/eval/passkey_result.h"
#include "hici/eval/retrieval_answers.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace hici::report {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

// One line of metrics.jsonl. A number that was not finite, or is not there, is NaN.
struct LoggedStep {
  int64_t step = 0;
  double loss = kNotANumber;
  double learning_rate = kNotANumber;
  double hici_learning_rate = kNotANumber;
  double tokens_per_second = kNotANumber;
  double epoch = kNotANumber;
  double tokens = kNotANumber;
  double peak_memory_bytes = kNotANumber;
  double seconds = kNotANumber;  // since its process started to train
};

struct TrainingRun {
  std::string name;  // of its directory
  std::vector<LoggedStep> steps;
};

// One result of `hici eval ppl`.
struct PerplexityResult {
  std::string label;      // which model
  std::string attention;  // how it attended
  int64_t context = 0;    // tokens
  double perplexity = kNotANumber;
  double accuracy = kNotANumber;
};

// `hici eval passkey` at one length.
struct PasskeyResult {
  std::string label;
  std::string attention;
  eval::PasskeyLength length;  // with at least one test
};

// One file of answers to LongEval's retrieval, scored by rule or by a model that judged them.
struct RetrievalResult {
  std::string model;
  eval::RetrievalTask task = eval::RetrievalTask::kTopics;
  std::string judge;      // the model that judged; empty: by rule
  int64_t num_items = 0;  // topics or lines in each prompt
  int64_t num_correct = 0;
  int64_t num_answers = 0;  // that were scored; a missing verdict is none

  bool operator==(const RetrievalResult&) const = default;
};

// A result.json of LongBench, or with `by_length` of LongBench-E, whose scores are in the buckets alone.
struct LongBenchResult {
  eval::LongBenchModelScores scores;
  bool by_length = false;
};

// One result of `hici eval attention`: where the attention of each head goes.
struct AttentionResult {
  using Shares = std::vector<std::vector<double>>;  // [L, H], 0 to 1
  std::string label;
  Shares global;
  Shares local;
  Shares token;
};

struct ReportData {
  std::vector<TrainingRun> runs;
  std::vector<PerplexityResult> perplexities;
  std::vector<PasskeyResult> passkeys;
  std::vector<RetrievalResult> retrievals;
  std::vector<LongBenchResult> longbench;
  std::vector<AttentionResult> attentions;
};

}  // namespace hici::report
