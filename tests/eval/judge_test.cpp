// SPDX-License-Identifier: Apache-2.0
// The judge against servers that are functions; tests/integration/test_score.py has one of Python behind HTTP.
#include "hici/eval/longeval/judge.h"

#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hici::eval {
namespace {

using Seconds = std::chrono::duration<double>;
using text::HttpAnswer;

HttpAnswer said(const std::string& words) {
  return {.status = 200,
          .body = nlohmann::json{{"choices", {{{"message", {{"content", words}}}}}}}.dump(),
          .retry_after_seconds = {}};
}

HttpAnswer failed(uint32_t status, std::optional<double> retry_after = {}) {
  return {.status = status, .body = "no", .retry_after_seconds = retry_after};
}

class JudgeTest : public ::testing::Test {
 protected:
  // Judges answers "0", "1", ... with a server that sends `answers` in turn, the last one ever after.
  Judgement judge(size_t num_answers, std::vector<HttpAnswer> answers) {
    const JudgeConnection connection{.post =
                                         [&, answers](const text::HttpRequest& request) {
                                           requests_.push_back(request);
                                           return answers[std::min(requests_.size(), answers.size()) - 1];
                                         },
                                     .wait =
                                         [&](Seconds time) {
                                           if (time.count() > 0) waits_.push_back(time.count());
                                           clock_ += std::chrono::duration_cast<std::chrono::nanoseconds>(time);
                                           return waits_.size() < stop_at_wait_;
                                         },
                                     .now = [&] { return clock_; }};
    std::vector<RetrievalAnswer> rows;
    for (size_t i = 0; i < num_answers; ++i) rows.push_back({"topic", std::to_string(i)});
    JudgeCache cache(folder_ / "x.judge.jsonl", options_.model);
    return Judge(options_, connection).judge(rows, cache);
  }

  JudgeOptions options_{.model = "m"};
  std::vector<text::HttpRequest> requests_;
  std::vector<double> waits_;
  size_t stop_at_wait_ = 1'000'000;

 private:
  testing::TemporaryFolder folder_;
  std::chrono::steady_clock::time_point clock_;
};

TEST_F(JudgeTest, AsksOncePerAnswerAndKeepsTheVerdicts) {
  options_.api_key = "secret";
  const Judgement first = judge(3, {said("1"), said(" 0.\n"), said("\"1\"")});
  EXPECT_EQ(first.num_correct(), 2);
  EXPECT_EQ(first.num_missing(), 0);
  EXPECT_EQ(first.num_asked, 3);
  EXPECT_EQ(first.trouble, "");
  EXPECT_EQ(requests_[0].url, "https://api.openai.com/v1/chat/completions");
  EXPECT_EQ(requests_[0].bearer, "secret");
  const nlohmann::json body = nlohmann::json::parse(requests_[1].body);
  EXPECT_EQ(body["model"], "m");
  EXPECT_EQ(body["messages"][0]["content"], judge_question({"topic", "1"}));
  const Judgement again = judge(4, {said("1")});
  EXPECT_EQ(again.num_asked, 1) << "three are in the cache";
  EXPECT_EQ(again.num_correct(), 3);
}

TEST_F(JudgeTest, WaitsLongerBeforeEachRetry) {
  options_.backoff_seconds = 0.5;
  const Judgement result = judge(1, {failed(500), failed(429), failed(0), said("1")});
  EXPECT_EQ(waits_, (std::vector<double>{0.5, 1, 2}));
  EXPECT_EQ(result.num_correct(), 1);
  EXPECT_EQ(result.num_asked, 4);
}

TEST_F(JudgeTest, WaitsAsLongAsTheServerAsksUpToAMinute) {
  judge(1, {failed(429, 7), failed(429, 3600), said("1")});
  EXPECT_EQ(waits_, (std::vector<double>{7, 60}));
}

TEST_F(JudgeTest, GivesUpWhenTheServerStaysAway) {
  options_.max_retries = 1;
  const Judgement result = judge(10, {said("1"), failed(503)});
  EXPECT_EQ(result.num_asked, 1 + 3 * 2) << "three answers in a row, each asked twice";
  EXPECT_EQ(result.num_missing(), 9);
  EXPECT_EQ(result.num_correct(), 1);
  EXPECT_NE(result.trouble.find("status 503 (no)"), std::string::npos) << result.trouble;
  EXPECT_EQ(judge(10, {said("0")}).num_missing(), 0) << "the next run asks for the rest";
}

TEST_F(JudgeTest, DoesNotAskAgainWhatCannotChange) {
  const Judgement result = judge(5, {failed(401)});
  EXPECT_EQ(result.num_asked, 1);
  EXPECT_EQ(result.num_missing(), 5);
  EXPECT_NE(result.trouble.find("OPENAI_API_KEY"), std::string::npos) << result.trouble;
  EXPECT_TRUE(waits_.empty());
}

TEST_F(JudgeTest, NonsenseIsAMissingVerdictAndNoTroubleOfTheServer) {
  options_.max_retries = 2;
  const Judgement result = judge(4, {said("maybe")});
  EXPECT_EQ(result.num_asked, 12);
  EXPECT_EQ(result.num_missing(), 4);
  EXPECT_EQ(result.num_correct(), 0);
  EXPECT_EQ(result.trouble, "");
}

TEST_F(JudgeTest, AnAnswerOfAnotherKindIsTroubleOfTheServer) {
  options_.max_retries = 0;
  EXPECT_NE(judge(5, {{.status = 200, .body = "<html>", .retry_after_seconds = {}}}).trouble.find("not JSON"),
            std::string::npos);
  EXPECT_NE(
      judge(5, {{.status = 200, .body = R"({"choices": []})", .retry_after_seconds = {}}}).trouble.find("choices"),
      std::string::npos);
}

TEST_F(JudgeTest, KeepsToTheRate) {
  options_.requests_per_minute = 30;
  judge(3, {said("1")});
  EXPECT_EQ(waits_, (std::vector<double>{2, 2})) << "nothing before the first";
}

TEST_F(JudgeTest, StopsWhenItIsAskedTo) {
  options_.requests_per_minute = 30;
  stop_at_wait_ = 2;
  const Judgement result = judge(5, {said("1")});
  EXPECT_EQ(result.trouble, "stopped by a signal");
  EXPECT_EQ(result.num_correct(), 2);
  EXPECT_EQ(result.num_missing(), 3);
}

TEST_F(JudgeTest, AcceptsTheWholeAddressToo) {
  options_.url = "http://host:1/v1/chat/completions/";
  judge(1, {said("1")});
  EXPECT_EQ(requests_[0].url, "http://host:1/v1/chat/completions");
}

TEST(ParseVerdictTest, TakesALoneDigitOnly) {
  EXPECT_EQ(parse_verdict("1"), true);
  EXPECT_EQ(parse_verdict("\n '0'. "), false);
  for (const char* text : {"", " ", "2", "10", "1 or 0", "yes", "1,", "-1"})
    EXPECT_EQ(parse_verdict(text), std::nullopt) << text;
}

}  // namespace
}  // namespace hici::eval
