// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/judge.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/signals.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

namespace hici::eval {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr double kMaxWaitSeconds = 60;
constexpr int kMaxTroublesInARow = 3;

bool wait_or_stop(Seconds time) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(time);
  while (stop_requested() == 0) {
    const auto left = end - Clock::now();
    if (left <= Clock::duration::zero()) return true;
    std::this_thread::sleep_for(std::min<Clock::duration>(left, std::chrono::milliseconds(100)));
  }
  return false;
}

// The query, where an address has one, stays behind the path.
std::string endpoint(std::string url) {
  const size_t path_end = std::min(url.find_first_of("?#"), url.size());
  const std::string behind = url.substr(path_end);
  url.resize(path_end);
  while (url.ends_with('/')) url.pop_back();
  return (url.ends_with("/chat/completions") ? url : url + "/chat/completions") + behind;
}

// What the model says in an answer of a chat-completions server; an hici::Error when it is none.
std::string content_of(const std::string& body) {
  const nlohmann::json response = parse_json(body, "the answer");
  const nlohmann::json& choices = JsonObject(response, "the answer").at("choices");
  HICI_CHECK(choices.is_array() && !choices.empty(), "the answer: choices is ", shown_json(choices),
             ", expected a list of one or more");
  return JsonObject(choices[0], "the answer: choices").object("message").string("content");
}

// An error quotes the body, and cuts what it quotes: so the secrets must be out of it before.
std::string why_no_content(const std::string& body_without_secrets) {
  try {
    content_of(body_without_secrets);
  } catch (const Error& e) {
    return e.what();
  }
  return "the answer: not what a chat-completions server sends";
}

// 408, 409, 429 and 5xx may be gone the next time; so may a connection that could not be made.
bool may_pass(uint32_t status) {
  return status == 0 || status == 408 || status == 409 || status == 429 || status >= 500;
}

std::string shown_trouble(uint32_t status, const std::string& words) {
  if (status == 0) return "no answer (" + printable(words) + ")";
  std::string trouble = detail::concat("status ", status, " (", printable(words), ")");
  if (status == 401 || status == 403) trouble += "; the key is taken from OPENAI_API_KEY";
  if (status >= 300 && status < 400) trouble += "; it sends elsewhere, which is not followed: give that address itself";
  return trouble;
}

}  // namespace

JudgeConnection real_judge_connection() {
  return {.post = text::post_json, .wait = wait_or_stop, .now = [] { return std::chrono::steady_clock::now(); }};
}

int64_t Judgement::num_correct() const {
  return std::count_if(verdicts.begin(), verdicts.end(), [](const auto& verdict) { return verdict.value_or(false); });
}

int64_t Judgement::num_missing() const {
  return std::count_if(verdicts.begin(), verdicts.end(), [](const auto& verdict) { return !verdict.has_value(); });
}

// In substance LongEval's question, which is its measure: the topic matters, not how it is put.
std::string judge_question(const RetrievalAnswer& answer) {
  return "A language model was asked which topic of a long conversation came first. Judge whether it has named the "
         "right one. Do not mind paraphrases, synonyms, or slips of capitals and punctuation. Reply with a single "
         "digit and nothing else: 1 if the answer is right, 0 if it is wrong.\n\nRight topic: " +
         answer.label + "\n\nAnswer of the model: " + answer.answer;
}

std::optional<bool> parse_verdict(std::string_view text) {
  constexpr std::string_view kAround = " \t\r\n\"'`.";
  const size_t first = text.find_first_not_of(kAround);
  if (first == std::string_view::npos || first != text.find_last_not_of(kAround)) return std::nullopt;
  if (text[first] != '0' && text[first] != '1') return std::nullopt;
  return text[first] == '1';
}

Judge::Judge(JudgeOptions options, JudgeConnection connection)
    : options_(std::move(options)), connection_(std::move(connection)), secrets_(options_.url, options_.api_key) {
  options_.url = endpoint(options_.url);
}

Judgement Judge::judge(const std::vector<RetrievalAnswer>& answers, JudgeCache& cache,
                       const std::function<void(int64_t)>& on_progress) {
  Judgement judgement;
  num_asked_ = 0;
  for (const RetrievalAnswer& answer : answers) {
    std::optional<bool> verdict = cache.find(answer);
    if (!verdict && trouble_.empty()) {
      const Reply reply = ask_until_answered(judge_question(answer));
      if (reply.outcome == Outcome::kVerdict) {
        verdict = reply.verdict;
        cache.add(answer, reply.verdict, reply.text);
      }
      note_trouble(reply);
    }
    judgement.verdicts.push_back(verdict);
    if (on_progress) on_progress(static_cast<int64_t>(judgement.verdicts.size()));
  }
  judgement.num_asked = num_asked_;
  judgement.trouble = trouble_;
  return judgement;
}

void Judge::note_trouble(const Reply& reply) {
  troubles_in_a_row_ = reply.outcome == Outcome::kServerTrouble ? troubles_in_a_row_ + 1 : 0;
  const bool gives_up = reply.outcome == Outcome::kHopeless || troubles_in_a_row_ >= kMaxTroublesInARow;
  if (gives_up) trouble_ = shown_url(options_.url, options_.api_key) + ": " + reply.text;
  if (was_stopped_) trouble_ = "stopped by a signal";
}

Judge::Reply Judge::ask_until_answered(const std::string& question) {
  Reply reply;
  for (int retry = 0; retry <= options_.max_retries; ++retry) {
    if (retry > 0 && !wait_before_retry(retry, reply)) return reply;
    if (!wait_for_turn()) return reply;
    reply = ask(question);
    if (reply.outcome == Outcome::kVerdict || reply.outcome == Outcome::kHopeless) return reply;
  }
  return reply;
}

Judge::Reply Judge::ask(const std::string& question) {
  ++num_asked_;
  const nlohmann::json request = {
      {"model", options_.model}, {"messages", {{{"role", "user"}, {"content", question}}}}, {"temperature", 0}};
  const text::HttpAnswer answer =
      connection_.post({.url = options_.url,
                        .bearer = options_.api_key,
                        .body = one_line(request),
                        .timeout = std::chrono::milliseconds(std::llround(options_.timeout_seconds * 1000))});
  Reply reply{.outcome = may_pass(answer.status) ? Outcome::kServerTrouble : Outcome::kHopeless,
              .verdict = false,
              .text = shown_trouble(answer.status, secrets_.hidden(answer.body)),
              .retry_after_seconds = answer.retry_after_seconds};
  if (answer.status != 200) return reply;
  try {
    reply.text = content_of(answer.body);
    const std::optional<bool> verdict = parse_verdict(reply.text);
    reply.outcome = verdict ? Outcome::kVerdict : Outcome::kNonsense;
    reply.verdict = verdict.value_or(false);
    reply.text = secrets_.hidden(reply.text);
  } catch (const Error&) {
    reply.outcome = Outcome::kServerTrouble;  // not what a chat-completions server sends
    reply.text = why_no_content(secrets_.hidden(answer.body));
  }
  return reply;
}

bool Judge::wait_for_turn() {
  const double gap = options_.requests_per_minute > 0 ? 60 / options_.requests_per_minute : 0;
  const double since = last_request_ ? Seconds(connection_.now() - *last_request_).count() : gap;
  if (!connection_.wait(Seconds(std::max(0.0, gap - since)))) was_stopped_ = true;
  last_request_ = connection_.now();
  return !was_stopped_;
}

bool Judge::wait_before_retry(int retry, const Reply& reply) {
  const double backoff = std::min(kMaxWaitSeconds, options_.backoff_seconds * std::ldexp(1.0, std::min(retry - 1, 30)));
  const double asked_for = std::min(reply.retry_after_seconds.value_or(0), kMaxWaitSeconds);
  if (!connection_.wait(Seconds(std::max(backoff, asked_for)))) was_stopped_ = true;
  return !was_stopped_;
}

}  // namespace hici::eval
