// SPDX-License-Identifier: Apache-2.0
// The data of a report: steps of training runs, and results of evaluations.
#pragma once

#include "hici/eval/longbench/scores.h"
#include "hici/eval/longeval/answers.h"
#include "hici/eval/passkey/result.h"
#include "hici/report/conditions.h"

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace hici::report {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

// One line of metrics.jsonl. A missing or non-finite number is NaN.
struct LoggedStep {
  int64_t step = 0;
  double loss = kNotANumber;
  double learning_rate = kNotANumber;
  double hici_learning_rate = kNotANumber;  // NaN if no HiCI parameters are trained
  double tokens_per_second = kNotANumber;
  double epoch = kNotANumber;
  double tokens = kNotANumber;
  double peak_memory_bytes = kNotANumber;
  double seconds = kNotANumber;  // since its process started to train
};

// An evaluation during training, on data that were not trained on.
struct LoggedEvaluation {
  int64_t step = 0;
  double loss = kNotANumber;
};

struct TrainingRun {
  std::string name;  // of its directory
  std::vector<LoggedStep> steps;
  std::vector<LoggedEvaluation> evaluations = {};
  Conditions conditions = {};
  std::string folder = {};
};

// The model of a result, beside its label.
struct ModelOrigin {
  std::string path = {};         // of the adapter or base if no label was given, or of the folder of answers
  std::string weights = {};      // hash over the weights; empty: not stated
  std::string weights_key = {};  // the kind of hash; only hashes of one kind are compared
  std::map<std::string, std::string> method = {};  // settings of the model, where names are equal
  std::string file = {};                           // the result file
};

// One result of `hici eval ppl`.
struct PerplexityResult {
  std::string label = {};      // which model
  std::string attention = {};  // kind of attention
  int64_t context = 0;         // tokens
  double perplexity = kNotANumber;
  double accuracy = kNotANumber;
  int64_t stride = 0;  // tokens between the starts of two windows; 0: not stated, or rolling
  Conditions conditions = {};
  ModelOrigin origin = {};
};

// `hici eval passkey` at one length.
struct PasskeyResult {
  std::string label = {};
  std::string attention = {};
  eval::PasskeyLength length = {};  // with at least one test
  Conditions conditions = {};
  ModelOrigin origin = {};
};

// One file of answers to LongEval's retrieval, scored by rule or by a judge.
struct RetrievalResult {
  std::string label = {};  // which model
  eval::RetrievalTask task = eval::RetrievalTask::kTopics;
  std::string judge = {};  // the judging model; empty: by rule
  int64_t num_items = 0;   // topics or lines in each prompt
  int64_t num_correct = 0;
  int64_t num_answers = 0;  // scored answers; a missing verdict is not counted
  Conditions conditions = {};
  ModelOrigin origin = {};
};

// A result.json of LongBench. With `by_length` it is of LongBench-E, whose scores are in the buckets only.
struct LongBenchResult {
  std::string label = {};  // which model
  eval::LongBenchModelScores scores = {};
  bool by_length = false;
  Conditions conditions = {};
  ModelOrigin origin = {};
};

// One result of `hici eval attention`: where the attention of each head goes.
struct AttentionResult {
  using Shares = std::vector<std::vector<double>>;  // [L, H], 0 to 1
  std::string label = {};
  Shares global = {};
  Shares local = {};
  Shares token = {};
  Conditions conditions = {};
  ModelOrigin origin = {};
};

struct ReportData {
  std::vector<TrainingRun> runs;
  std::vector<PerplexityResult> perplexities;
  std::vector<PasskeyResult> passkeys;
  std::vector<RetrievalResult> retrievals;
  std::vector<LongBenchResult> longbench;
  std::vector<AttentionResult> attentions;
  std::vector<std::string> left_out;  // one message per file or folder that was left out
  size_t num_named_left_out = 0;      // of these, files named by the user

  size_t num_results() const {
    return perplexities.size() + passkeys.size() + retrievals.size() + longbench.size() + attentions.size();
  }
};

}  // namespace hici::report
