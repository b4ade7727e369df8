// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/response.h"

#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/eval/longeval/scores.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;

const fs::path kData = fs::path(HICI_SOURCE_DIR) / "tests" / "eval" / "data";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

int64_t number_at_end(const std::string& line) { return std::atoll(line.substr(line.rfind(' ') + 1).c_str()); }

// What LongEval wrote, read and written again, is the same file.
TEST(ResponseLineTest, LongEvalsOwnFilesComeOutByteForByte) {
  int num_lines = 0;
  for (const auto& [name, task] : {std::pair("topics", RetrievalTask::kTopics), {"lines", RetrievalTask::kLines}}) {
    for (const fs::path& file : find_response_files(kData / "longeval" / name)) {
      const std::vector<RetrievalAnswer> answers = read_retrieval_answers(file, task);
      const std::vector<std::string> lines = lines_of(read_file(file, size_t{1} << 20));
      for (size_t i = 0; i < answers.size(); ++i) {
        EXPECT_EQ(response_line(answers[i], number_at_end(lines[i]), task), lines[i]) << file;
        ++num_lines;
      }
      if (lines.size() == answers.size()) continue;
      const int64_t correct = score_retrieval(file, answers, task).num_correct;
      EXPECT_EQ(accuracy_line(correct, static_cast<int64_t>(answers.size())), lines.back()) << file;
    }
  }
  EXPECT_GT(num_lines, 200);
}

TEST(ResponseLineTest, WhateverAModelWritesIsReadBackAsOneLine) {
  const testing::TemporaryFolder folder;
  const std::vector<std::string> answers{"",
                                         "It's \"both\"",
                                         "a\nb\r\n\tc",
                                         "\\n and \\",
                                         "x, Parsed: 7, prompt length: 5",
                                         "x, Predict: y",
                                         "['list']",
                                         "\xF0\x9F\x98\x80 \xE2\x80\xA8 \xC2\xA0",
                                         "Label: 3",
                                         "Accuracy: 1.0"};
  std::string topics, lines;
  for (const std::string& answer : answers) {
    topics += response_line({"The future of art", answer}, 31, RetrievalTask::kTopics) + "\n";
    lines += response_line({"42", answer}, 31, RetrievalTask::kLines) + "\n";
  }
  write_file_atomically(folder / "topics.txt", topics);
  write_file_atomically(folder / "lines.txt", lines + accuracy_line(1, 3));
  const auto got_topics = read_retrieval_answers(folder / "topics.txt", RetrievalTask::kTopics);
  const auto got_lines = read_retrieval_answers(folder / "lines.txt", RetrievalTask::kLines);
  ASSERT_EQ(got_topics.size(), answers.size());
  ASSERT_EQ(got_lines.size(), answers.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(got_topics[i].answer, answers[i]);
    EXPECT_EQ(got_topics[i].label, "The future of art");
    std::string one_line = answers[i];
    std::replace_if(one_line.begin(), one_line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    EXPECT_EQ(got_lines[i].answer, one_line);
  }
}

TEST(ResponseLineTest, TheLastNumberIsParsedAndMinusOneWhereThereIsNone) {
  EXPECT_EQ(response_line({"7", "line 3 is <0042>."}, 9, RetrievalTask::kLines),
            "Label: 7, Predict: line 3 is <0042>., Parsed: 42, prompt length: 9");
  EXPECT_EQ(response_line({"7", "no idea"}, 9, RetrievalTask::kLines),
            "Label: 7, Predict: no idea, Parsed: -1, prompt length: 9");
}

TEST(AccuracyLineTest, HasPythonsDigits) {
  EXPECT_EQ(accuracy_line(49, 50), "Accuracy: 0.98");
  EXPECT_EQ(accuracy_line(50, 50), "Accuracy: 1.0");
  EXPECT_EQ(accuracy_line(0, 50), "Accuracy: 0.0");
  EXPECT_EQ(accuracy_line(1, 3), "Accuracy: 0.3333333333333333");
}

// tests/eval/make_python_quotes.py
TEST(PythonQuotesTest, AreThoseOfRepr) {
  int count = 0;
  for (const std::string& line : lines_of(read_file(kData / "python_quotes.jsonl", size_t{1} << 20))) {
    const nlohmann::json row = parse_json(line, "row");
    EXPECT_EQ(with_python_quotes(row["text"].get<std::string>()), row["repr"].get<std::string>());
    EXPECT_EQ(without_python_quotes(row["repr"].get<std::string>()), row["text"].get<std::string>());
    ++count;
  }
  EXPECT_GT(count, 200);
}

}  // namespace
}  // namespace hici::eval
