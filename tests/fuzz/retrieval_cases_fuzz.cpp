// SPDX-License-Identifier: Apache-2.0
// N_topics.jsonl and N_lines.jsonl of LongEval.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/eval/longeval/cases.h"

namespace hici::fuzz {
namespace {

using eval::RetrievalTask;

void read_as(RetrievalTask task, const std::filesystem::path& file) {
  const std::vector<eval::RetrievalCase> cases = eval::read_retrieval_cases(file, task);
  require(!cases.empty(), "a file without a case");
  for (const eval::RetrievalCase& one : cases) {
    require(!one.prompt.empty() && !one.label.empty(), "a case without prompt or label");
    require(one.label.find('\n') == std::string::npos, "a label of two lines");
  }
}

}  // namespace

void read_retrieval_cases(std::string_view bytes) {
  static const ScratchFolder folder;
  const bool is_topics = bytes.find("topics") != std::string_view::npos;
  read_as(is_topics ? RetrievalTask::kTopics : RetrievalTask::kLines, folder.write("5_x.jsonl", bytes));
}

std::vector<std::string> retrieval_cases_seeds() {
  return {
      R"({"test_id": 0, "prompt": "USER: \n ASSISTANT: \u00e9", "topics": ["The role of art", "Sports"], "prompt_length": -1})"
      "\n",
      R"({"random_idx": ["torpid-kid", 7], "expected_number": 2416, "num_lines": 200, "correct_line": "line <2416>\n", )"
      R"("prompt": "line torpid-kid: REGISTER_CONTENT is <2416>\n", "prompt_length": -1})"
      "\n\n"};
}

}  // namespace hici::fuzz
