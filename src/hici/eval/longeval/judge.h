// SPDX-License-Identifier: Apache-2.0
// A chat model as judge of retrieved topics, after LongEval's auto_topic_eval.py: it reads the right topic and the
// answer and replies 1 or 0. Each verdict is cached when it arrives, so no question is repeated and no verdict is lost
// if the server fails.
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
  std::string url = "https://api.openai.com/v1";  // "/chat/completions" is appended if missing
  std::string model;
  std::string api_key{};           // may be empty, for a local server
  double requests_per_minute = 0;  // 0: no limit
  int max_retries = 5;             // per question, after a server error or an answer without a verdict
  double backoff_seconds = 1;      // before the first retry; doubled for each further one, up to a minute
  double timeout_seconds = 60;     // for one answer
};

// Network and clock, which tests replace.
struct JudgeConnection {
  std::function<text::HttpAnswer(const text::HttpRequest&)> post;
  // False if a stop signal ended the wait.
  std::function<bool(std::chrono::duration<double>)> wait;
  std::function<std::chrono::steady_clock::time_point()> now;
};
JudgeConnection real_judge_connection();

struct Judgement {
  std::vector<std::optional<bool>> verdicts;  // per answer; nullopt: no verdict
  int64_t num_asked = 0;                      // questions sent to the server; the others were in the cache
  std::string trouble;                        // the reason for an early end; empty without one

  int64_t num_correct() const;
  int64_t num_missing() const;
};

class Judge {
 public:
  Judge(JudgeOptions options, JudgeConnection connection);

  // Asks about every answer without a cached verdict, in order, and caches the verdicts. Transient errors (429, 5xx, no
  // connection) are retried. Judging ends early, with `trouble`, if three questions in a row fail in this way, after a
  // permanent error (401, 404, ...), or after a stop signal. If all replies to a question are neither 1 nor 0, its
  // verdict is missing. After trouble, further calls read the cache only. Calls `on_progress(done)` after each answer.
  Judgement judge(const std::vector<RetrievalAnswer>& answers, JudgeCache& cache,
                  const std::function<void(int64_t)>& on_progress = {});

 private:
  enum class Outcome { kVerdict, kNonsense, kServerTrouble, kHopeless };
  struct Reply {
    Outcome outcome = Outcome::kServerTrouble;
    bool verdict = false;
    std::string text;  // the model's reply, or the error
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

// The question to the judge about one answer.
std::string judge_question(const RetrievalAnswer& answer);
// The verdict in a judge's reply: a single 1 or 0, with optional white space, quotes and a full stop.
std::optional<bool> parse_verdict(std::string_view text);

}  // namespace hici::eval
