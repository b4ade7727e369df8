// SPDX-License-Identifier: Apache-2.0
// Predictions on a data set of LongBench: DATASET.jsonl, an object on each line, as LongBench's pred.py writes it:
//   {"pred": "...", "answers": ["..."], "all_classes": null, "length": 14094}
#pragma once

#include "hici/eval/longbench/tasks.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hici::eval {

struct LongBenchPrediction {
  std::string text;
  std::vector<std::string> answers;  // the best one counts
  std::vector<std::string> classes;  // classification only: all of them
  int64_t length = 0;                // words (characters in Chinese) of the prompt's context; for the buckets of -e
  std::string subject;               // "FILE: line 3", for messages
};

// All predictions of a file. An hici::Error names the line and the field of whatever is wrong; no line is wrong too.
std::vector<LongBenchPrediction> read_longbench_predictions(const std::filesystem::path& file,
                                                            const LongBenchTask& task, bool with_lengths);

}  // namespace hici::eval
