// SPDX-License-Identifier: Apache-2.0
// NAME_response.txt of LongEval's tasks.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/eval/longeval/answers.h"

namespace hici::fuzz {

void read_retrieval_answers(std::string_view bytes) {
  static const ScratchFolder folder;
  const std::filesystem::path file = folder.write("5_response.txt", bytes);
  const auto task =
      bytes.find(", Parsed: ") == std::string_view::npos ? eval::RetrievalTask::kTopics : eval::RetrievalTask::kLines;
  for (const eval::RetrievalAnswer& answer : eval::read_retrieval_answers(file, task))
    require(!answer.label.empty() && answer.answer.size() <= bytes.size(), "an answer out of nowhere");
}

std::vector<std::string> retrieval_answers_seeds() {
  return {
      "Label: The role of art, Predict: ['It\\'s \\xe9\\u732b\\U0001f600\\n'], prompt length: 15681\n"
      "Label: a, Predict: plain, prompt length: -1\n",
      "Label: 24140, Predict: The <REGISTER\\_CONTENT> is 33809., Parsed: 33809, prompt length: 14085\n"
      "Accuracy: 0.0\n"};
}

}  // namespace hici::fuzz
