// SPDX-License-Identifier: Apache-2.0
// The journal of an evaluation that was stopped.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/eval/case_journal.h"

namespace hici::fuzz {
namespace {

constexpr int64_t kNumCases = 3;

const nlohmann::json& identity() {
  static const nlohmann::json kIdentity = {{"model", "m"}, {"length", 4096}};
  return kIdentity;
}

}  // namespace

void read_case_journal(std::string_view bytes) {
  static const ScratchFolder folder;
  folder.write("out.json.part-0-of-1", bytes);
  eval::CaseJournal journal(folder.path() / "out.json", identity(), kNumCases, {}, /*resume=*/true);
  const auto open = static_cast<int64_t>(journal.open_cases().size());
  require(!journal.is_finished() && open + journal.num_found() == kNumCases, "cases that are lost");
  if (open > 0) return;
  journal.finish([](const std::vector<nlohmann::json>& answers) {
    require(answers.size() == kNumCases, "another number of answers");
    for (const nlohmann::json& answer : answers) require(!answer.is_discarded(), "an answer that is none");
  });
}

std::vector<std::string> case_journal_seeds() {
  const std::string header = nlohmann::json{{"identity", identity()}, {"cases", kNumCases}}.dump() + "\n";
  return {header + R"({"case": 1, "answer": {"answer": "7", "prompt_tokens": 12}})" + "\n",
          header + R"({"case":0,"answer":"a"})" + "\n" + R"({"case":2,"answer":[1.5]})" + "\n" +
              R"({"case":1,"answer":false})" + "\n"};
}

}  // namespace hici::fuzz
