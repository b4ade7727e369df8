// SPDX-License-Identifier: Apache-2.0
// Answers of a model to LongEval's retrieval tasks, in LongEval's files of one answer a line:
//   topics  Label: The future of space tourism, Predict: ['The first topic was ...'], prompt length: 15681
//   lines   Label: 24140, Predict: The <REGISTER_CONTENT> is 33809., Parsed: 33809, prompt length: 14085
// and at the end of the latter perhaps "Accuracy: 0.98". The list around a topic's answer may be missing.
#pragma once

#include "hici/base/enum_names.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hici::eval {

struct RetrievalAnswer {
  std::string label;   // the right answer
  std::string answer;  // the model's
};

enum class RetrievalTask { kTopics, kLines };
constexpr EnumNames<RetrievalTask, 2> names_of(RetrievalTask) {
  return {"task", {{{RetrievalTask::kTopics, "topics"}, {RetrievalTask::kLines, "lines"}}}};
}

// All answers of a file. An hici::Error names the line that does not have this form; no line is wrong too.
std::vector<RetrievalAnswer> read_retrieval_answers(const std::filesystem::path& file, RetrievalTask task);

struct RetrievalFile {
  RetrievalTask task = RetrievalTask::kTopics;
  std::vector<RetrievalAnswer> answers;
};

// The same where the task is not known: the first answer shows it.
RetrievalFile read_retrieval_file(const std::filesystem::path& file);

// The text of a Python literal such as ['...'] or "..."; any other text as it stands.
std::string without_python_quotes(std::string_view text);

}  // namespace hici::eval
