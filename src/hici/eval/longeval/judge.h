// SPDX-License-Identifier: Apache-2.0
// A chat model as judge of retrieved topics, after LongEval's auto_topic_eval.py: it sees the right topic and the
// answer and says 1 or 0. Verdicts are kept in a cache as they come, so that nothing is asked twice and nothing that
// was judged is lost when the server goes away.
#pragma once

#include "hici/eval/longeval/answers.h"
#include "hici/eval/longeval/judge_cache.h"
#include "hici/eval/longeval/judge_secrets.h"
#include "hici/text/http.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hici::eval {

struct JudgeOptions {
  std::string url = "https://api.openai.com/v1";  // "/chat/completions" is added when it is not there
  std::string model;
  std::string api_key{};           // may be empty: a server of one's own asks for none
  double requests_per_minute = 0;  // 0: no limit
  int max_retries = 5;             // of one question, after an error of the server or an answer without a verdict
  double backoff_seconds = 1;      // before the first retry; doubled for each further one, up to a minute
  double timeout_seconds = 60;     // for one answer
};

// The outside world, so that tests can put another in its place.
struct JudgeConnection {
  std::function<text::HttpAnswer(const text::HttpRequest&)> post;
  // False when the wait was cut short because the process was asked to stop.
  std::function<bool(std::chrono::duration<double>)> wait;
  std::function<std::chrono::steady_clock::time_point()> now;
};
JudgeConnection real_judge_connection();

struct Judgement {
  std::vector<std::optional<bool>> verdicts;  // for each answer; none: no verdict could be had
  int64_t num_asked = 0;                      // questions that the server was sent; the others were in the cache
  std::string trouble;                        // why the judging ended early; empty when it did not

  int64_t num_correct() const;
  int64_t num_missing() const;
};

class Judge {
 public:
  Judge(JudgeOptions options, JudgeConnection connection);

  // Asks for every answer that the cache has no verdict on, in order, and adds to the cache. Errors of the server that
  // pass (429, 5xx, no connection) are retried; when three questions in a row end in one, or one cannot be put right by
  // asking again (401, 404, ...), or the process is asked to stop, no more is asked: `trouble`. An answer that is
  // neither 1 nor 0, however often asked, is a missing verdict. After trouble, further calls only look into the cache.
  // `on_progress(done)` after each answer.
  Judgement judge(const std::vector<RetrievalAnswer>& answers, JudgeCache& cache,
                  const std::function<void(int64_t)>& on_progress = {});

 private:
  enum class Outcome { kVerdict, kNonsense, kServerTrouble, kHopeless };
  struct Reply {
    Outcome outcome = Outcome::kServerTrouble;
    bool verdict = false;
    std::string text;  // the model's words, or what went wrong
    std::optional<double> retry_after_seconds;
  };

  void note_trouble(const Reply& reply);
  Reply ask(const std::string& question);
  Reply ask_until_answered(const std::string& question);
  bool wait_for_turn();
  bool wait_before_retry(int retry, const Reply& reply);

  JudgeOptions options_;
  JudgeConnection connection_;
  JudgeSecrets secrets_;
  std::optional<std::chrono::steady_clock::time_point> last_request_;
  int64_t num_asked_ = 0;
  int troubles_in_a_row_ = 0;
  bool was_stopped_ = false;
  std::string trouble_;
};

// What the judge is asked about one answer.
std::string judge_question(const RetrievalAnswer& answer);
// The verdict in a judge's words: a 1 or a 0 that stands alone, but for white space, quotes and a full stop.
std::optional<bool> parse_verdict(std::string_view text);

}  // namespace hici::eval
