// SPDX-License-Identifier: Apache-2.0
// LongBench's data, prompts and lengths of answers, from a folder as the benchmark has it:
//   data/DATASET.jsonl         {"input", "context", "answers", "length", "all_classes", ...} on each line
//   data/DATASET_e.jsonl       the same for LongBench-E
//   config/dataset2prompt.json {DATASET: "... {context} ... {input} ..."}
//   config/dataset2maxlen.json {DATASET: 64}
#pragma once

#include "hici/eval/longbench/tasks.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hici::eval {

// A prompt with places for a case's texts, in the language of Python's str.format(): {context}, {input}, {{ and }}.
class LongBenchPrompt {
 public:
  // `subject` begins the message for a field of another name, a conversion, a format, or a brace without its other
  // half.
  LongBenchPrompt(std::string_view format, const std::string& subject);
  std::string fill(const std::string& context, const std::string& input) const;

 private:
  enum class Field { kNone, kContext, kInput };
  struct Piece {
    std::string text;
    Field behind = Field::kNone;  // what follows the text
  };
  std::vector<Piece> pieces_;
};

struct LongBenchCase {
  std::string context, input;
  std::vector<std::string> answers;
  nlohmann::json classes;  // a list of strings, or null
  int64_t length = 0;      // of the context, in words or characters, as the data set says
  std::string subject;     // "data/trec.jsonl: line 3", for messages
};

// All of one data set.
struct LongBenchData {
  const LongBenchTask* task = nullptr;
  std::filesystem::path file;
  LongBenchPrompt prompt;
  int64_t max_new_tokens = 0;
  std::vector<LongBenchCase> cases;
};

// data/DATASET.jsonl, or with `is_e` data/DATASET_e.jsonl.
std::filesystem::path longbench_data_file(const std::filesystem::path& folder, const LongBenchTask& task, bool is_e);
// The data sets whose file is there, in LongBench's order; none is an hici::Error.
std::vector<const LongBenchTask*> find_longbench_data(const std::filesystem::path& folder, bool is_e);
// An hici::Error names the file, line and field that are not as above.
LongBenchData read_longbench_data(const std::filesystem::path& folder, const LongBenchTask& task, bool is_e);
std::vector<LongBenchCase> read_longbench_cases(const std::filesystem::path& file, const LongBenchTask& task);

// A line of pred/MODEL/DATASET.jsonl without its end, in the letters of Python's json.dump(..., ensure_ascii=False).
std::string longbench_prediction_line(const LongBenchCase& answered, const std::string& prediction);

}  // namespace hici::eval
