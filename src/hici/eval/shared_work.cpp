// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/shared_work.h"

#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"

#include <algorithm>
#include <chrono>
#include <map>

namespace hici::eval {

using nlohmann::json;

json timed_answer(json answer, int64_t rank, double seconds) {
  return {{"answer", std::move(answer)}, {"rank", rank}, {"seconds", seconds}};
}

void merge_timed(const SharedWork& work, const std::vector<json>& timed, const MergeAnswers& merge) {
  std::vector<json> answers;
  std::map<int64_t, double> seconds;  // by process
  for (const json& value : timed) {
    const JsonObject object(value, work.output.string() + ": answer in a journal");
    answers.push_back(object.at("answer"));
    seconds[object.integer("rank", 0, INT64_MAX)] += object.number("seconds");
  }
  double longest = 0;
  for (const auto& [rank, taken] : seconds) longest = std::max(longest, taken);
  merge(answers, longest);
}

std::unique_ptr<CaseJournal> open_journal(const SharedWork& work, int64_t num_cases) {
  return std::make_unique<CaseJournal>(work.output, work.identity, num_cases, work.process, work.resume,
                                       work.replaces_result,
                                       FinishedRecord{.path = work.output, .required = work.required});
}

bool share_cases(const SharedWork& work, int64_t num_cases, const std::function<json(int64_t)>& answer,
                 const MergeAnswers& merge) {
  const std::unique_ptr<CaseJournal> journal = open_journal(work, num_cases);
  if (journal->is_finished()) {
    log_info(work.output.string(), ": is there already; nothing to do");
    return false;
  }
  const std::vector<int64_t>& open = journal->open_cases();
  const auto all = static_cast<int64_t>(open.size());
  Progress progress("batches", all);
  for (int64_t done = 0; done < all; ++done) {
    check_stop(" after ", done, " of ", all, " batches; give `resume` to go on from them");
    const int64_t index = open[static_cast<size_t>(done)];
    const auto started = std::chrono::steady_clock::now();
    json value = answer(index);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    journal->add(index, timed_answer(std::move(value), work.process.rank, seconds));
    progress.update(done + 1);
  }
  progress.finish();
  if (journal->finish([&](const std::vector<json>& timed) { merge_timed(work, timed, merge); })) return true;
  log_info(work.output.string(), ": this process is done; the last one to finish writes the result");
  return false;
}

std::vector<double> numbers_of(const json& list, const std::string& subject) {
  std::vector<double> numbers;
  for (const json& value : list) {
    HICI_CHECK(value.is_number(), subject, " holds ", shown_json(value), ", which is no number");
    numbers.push_back(value.get<double>());
  }
  return numbers;
}

}  // namespace hici::eval
