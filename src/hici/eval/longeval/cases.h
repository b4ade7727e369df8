// SPDX-License-Identifier: Apache-2.0
// Test cases of LongEval's retrieval tasks, a JSON object on each line:
//   5_topics.jsonl   {"prompt": "...", "topics": ["The future of space tourism", ...], ...}; asked for is the first
//   topic 200_lines.jsonl  {"prompt": "...", "expected_number": 2416, ...}
// Other keys are passed over.
#pragma once

#include "hici/eval/longeval/answers.h"

#include <filesystem>
#include <string>
#include <vector>

namespace hici::eval {

struct RetrievalCase {
  std::string prompt;
  std::string label;    // the right answer
  std::string subject;  // "5_topics.jsonl: line 3", for messages
};

// All cases of a file (.jsonl, also .gz and .zst). An hici::Error names the line and the field that are not as above;
// no case is wrong too.
std::vector<RetrievalCase> read_retrieval_cases(const std::filesystem::path& file, RetrievalTask task);

// `path` itself when it is a file; else the files N_topics.jsonl or N_lines.jsonl in it and its folders (two levels),
// by number. None is an hici::Error.
std::vector<std::filesystem::path> find_retrieval_cases(const std::filesystem::path& path, RetrievalTask task);

// Where LongEval writes the answers to a file of cases: 5_topics.jsonl -> 5_response.txt.
std::string response_file_name(const std::filesystem::path& cases_file, RetrievalTask task);

}  // namespace hici::eval
