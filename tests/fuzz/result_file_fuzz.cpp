// SPDX-License-Identifier: Apache-2.0
// Files of results that `hici report` collects; result.json is a name under which each kind is looked for.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/report/result_files.h"

namespace hici::fuzz {

void read_result_file(std::string_view bytes) {
  static const ScratchFolder folder;
  const report::ReportData data = report::read_result_file(folder.write("result.json", bytes));
  for (const report::PasskeyResult& result : data.passkeys)
    require(result.length.accuracy() >= 0 && result.length.accuracy() <= 1, "an accuracy that is no share");
  for (const report::RetrievalResult& result : data.retrievals)
    require(result.num_correct >= 0 && result.num_correct <= result.num_answers, "more right answers than answers");
  for (const report::AttentionResult& result : data.attentions)
    require(result.global.size() == result.local.size() && result.local.size() == result.token.size(), "layers differ");
}

std::vector<std::string> result_file_seeds() {
  return {R"({"command": "eval ppl", "label": "m\u00e9", "attention": "hici", "seq_len": 512, "perplexity": 4.5})",
          R"({"command": "eval passkey", "label": "m", "attention": "full", "lengths": [{"target": 4096,)"
          R"( "rope_factor": 1, "tests": [{"seed": 1, "depth": 0.5, "key": 7, "answer": "7", "correct": true,)"
          R"( "prompt_tokens": 9}]}]})",
          R"({"command": "eval attention", "label": "m", "layers": 1, "heads": 2, "global": [[0.5, 0]],)"
          R"( "local": [[0.25, 0]], "token": [[0.25, 1]]})",
          R"({"by_rule": {"m": {"5_response.txt": [4, 6]}}, "judge_model": "j",)"
          R"( "by_judge": {"m": {"5_response.txt": [3, 5, 1]}}})",
          R"({"qasper": 20.5, "lcc": null})",
          R"({"qasper": {"0-4k": 20.5, "4-8k": null, "8k+": 3}})"};
}

}  // namespace hici::fuzz
