// SPDX-License-Identifier: Apache-2.0
// DATASET.jsonl of LongBench, and prompts with places for a case's texts.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/base/json.h"
#include "hici/eval/longbench/cases.h"

namespace hici::fuzz {

void read_longbench_cases(std::string_view bytes) {
  static const ScratchFolder folder;
  // The lines, whose first context is a prompt too.
  const auto cases = eval::read_longbench_cases(folder.write("trec.jsonl", bytes), *eval::find_longbench_task("trec"));
  require(!cases.empty(), "a file without a case");
  for (const eval::LongBenchCase& one : cases) {
    require(!one.answers.empty() && one.classes.is_array(), "a case without answers or classes");
    parse_json(eval::longbench_prediction_line(one, one.input), "a line that was written");
  }
  const eval::LongBenchPrompt prompt(cases.front().context, "prompt");
  require(prompt.fill("", "").size() <= cases.front().context.size(), "a prompt out of nowhere");
}

std::vector<std::string> longbench_cases_seeds() {
  return {
      R"({"input": "Type?", "context": "{{a}} {context} b {input}{context}", "answers": ["Date", "\u732b"], "length": 7, )"
      R"("dataset": "trec", "language": "en", "all_classes": ["Date", "Sport"], "_id": "7f"})"
      "\n"};
}

}  // namespace hici::fuzz
