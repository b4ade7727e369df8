// SPDX-License-Identifier: Apache-2.0
// What a report is about, as read from run directories: training runs step by step, and perplexities.
#pragma once

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

struct ReportData {
  std::vector<TrainingRun> runs;
  std::vector<PerplexityResult> perplexities;
};

}  // namespace hici::report
