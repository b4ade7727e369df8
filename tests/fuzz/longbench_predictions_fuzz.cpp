// SPDX-License-Identifier: Apache-2.0
// DATASET.jsonl of predictions on LongBench.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/eval/longbench/predictions.h"

namespace hici::fuzz {

void read_longbench_predictions(std::string_view bytes) {
  static const ScratchFolder folder;
  const auto rows = eval::read_longbench_predictions(folder.write("trec.jsonl", bytes),
                                                     *eval::find_longbench_task("trec"), /*with_lengths=*/true);
  require(!rows.empty(), "a file without a row");
  for (const eval::LongBenchPrediction& row : rows) require(!row.answers.empty(), "a row without an answer");
}

std::vector<std::string> longbench_predictions_seeds() {
  return {R"({"pred": "Date\n", "answers": ["Date", "\u732b"], "all_classes": ["Date", "Sport"], "length": 14094})"
          "\n"
          R"({"_id": "7f", "pred": "", "answers": [""], "all_classes": [], "length": 0})"
          "\n"};
}

}  // namespace hici::fuzz
