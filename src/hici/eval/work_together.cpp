// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/work_together.h"

#include "hici/base/log.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>

namespace hici::eval {
namespace {

using nlohmann::json;

// The leader's answers.
class KeptAnswers {
 public:
  KeptAnswers(const SharedWork& work, int64_t num_cases) : work_(work), answers_(static_cast<size_t>(num_cases)) {
    if (!work.output.empty()) journal_ = open_journal(work, num_cases);
  }

  // A list of numbers; null where the output is there already.
  json open_cases() const {
    if (journal_) return journal_->is_finished() ? json() : json(journal_->open_cases());
    std::vector<int64_t> all(answers_.size());
    std::iota(all.begin(), all.end(), 0);
    return all;
  }

  void add(int64_t index, json answer) {
    if (journal_) return journal_->add(index, answer);
    answers_[static_cast<size_t>(index)] = std::move(answer);
  }

  void merge(const MergeAnswers& merge) {
    if (!journal_) return merge_timed(work_, answers_, merge);
    journal_->finish([&](const std::vector<json>& answers) { merge_timed(work_, answers, merge); });
  }

 private:
  const SharedWork& work_;
  std::unique_ptr<CaseJournal> journal_;
  std::vector<json> answers_;  // without a journal
};

double seconds_since(std::chrono::steady_clock::time_point started) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

// The answers of a round, by the leader. All groups took as long.
void keep(KeptAnswers& kept, const parallel::World& world, const std::vector<int64_t>& round,
          const std::vector<json>& answers, double seconds) {
  for (size_t i = 0; i < round.size(); ++i)
    kept.add(round[i], timed_answer(answers[i], static_cast<int64_t>(i) * world.mesh().segments, seconds));
}

}  // namespace

int work_together(const parallel::World& world, const SharedWork& work, int64_t num_cases, const AnswerRound& answer,
                  const MergeAnswers& merge) {
  std::unique_ptr<KeptAnswers> kept;
  const json found = json::parse(parallel::from_leader(world, [&] {
    kept = std::make_unique<KeptAnswers>(work, num_cases);
    return kept->open_cases().dump();
  }));
  if (found.is_null()) {
    log_info(work.output.string(), ": is there already; nothing to do");
    return 0;
  }
  const auto open = found.get<std::vector<int64_t>>();
  const auto all = static_cast<int64_t>(open.size());
  Progress progress("batches", all);
  for (int64_t done = 0; done < all;) {
    const auto signal = static_cast<int>(parallel::largest_of(world, int64_t{stop_requested()}));
    if (signal != 0) {
      log_info("stopped by signal ", signal, " after ", done, " of ", all, " batches; ",
               work.output.empty() ? "nothing is kept without `output`" : "give `resume` to go on from them");
      return signal;
    }
    const int64_t next = std::min(done + world.mesh().data, all);
    const std::vector<int64_t> round(open.begin() + done, open.begin() + next);
    world.set_step(next);
    const auto started = std::chrono::steady_clock::now();
    const std::vector<json> answers = answer(round);
    parallel::on_leader(world, [&] { keep(*kept, world, round, answers, seconds_since(started)); });
    progress.update(done = next);
  }
  progress.finish();
  parallel::on_leader(world, [&] { kept->merge(merge); });
  return 0;
}

}  // namespace hici::eval
