// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/cases.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace hici::eval {
namespace {

const std::string kTopic =
    R"({"test_id": 0, "prompt": "Talk", "topics": ["The first", "The second"], "prompt_length": -1})";
const std::string kLine = R"({"random_idx": ["a-b", 7], "expected_number": 2416, "num_lines": 200, "prompt": "Lines"})";

class RetrievalCasesTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& content) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    write_file_atomically(folder_ / name, content);
    return folder_ / name;
  }
  std::vector<RetrievalCase> read(const std::string& content, RetrievalTask task) {
    return read_retrieval_cases(write("x.jsonl", content), task);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(RetrievalCasesTest, TheFirstTopicAndTheNumberAreTheRightAnswers) {
  const auto topics = read(kTopic + "\n" + kTopic, RetrievalTask::kTopics);
  ASSERT_EQ(topics.size(), 2U);
  EXPECT_EQ(topics[1].prompt, "Talk");
  EXPECT_EQ(topics[1].label, "The first");
  EXPECT_TRUE(topics[1].subject.ends_with("x.jsonl: line 2")) << topics[1].subject;
  const auto lines = read(kLine + "\n", RetrievalTask::kLines);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].label, "2416");
}

TEST_F(RetrievalCasesTest, NamesTheLineAndTheField) {
  const auto topic = [&](const char* row) { return read(kTopic + "\n" + row, RetrievalTask::kTopics); };
  EXPECT_ERROR_SAYS(topic(R"({"topics": ["a"]})"), "x.jsonl: line 2: has no 'prompt'");
  EXPECT_ERROR_SAYS(topic(R"({"prompt": 5, "topics": ["a"]})"), "line 2: prompt is 5, expected a string");
  EXPECT_ERROR_SAYS(topic(R"({"prompt": "", "topics": ["a"]})"), "line 2: prompt is empty");
  EXPECT_ERROR_SAYS(topic(R"({"prompt": "a"})"), "line 2: has no 'topics'");
  EXPECT_ERROR_SAYS(topic(R"({"prompt": "a", "topics": "b"})"), "line 2: topics is \"b\", expected a list of strings");
  EXPECT_ERROR_SAYS(topic(R"({"prompt": "a", "topics": []})"), "line 2: topics has no first topic");
  EXPECT_ERROR_SAYS(topic(R"({"prompt": "a", "topics": ["b\nc"]})"), "line 2: topics begins with 'b");
  EXPECT_ERROR_SAYS(topic(R"({"prompt": "a", "topics": ["b, Predict: c"]})"), "cannot stand in a line");
  EXPECT_ERROR_SAYS(topic("[1]"), "line 2: is [1], expected a JSON object");
  EXPECT_ERROR_SAYS(topic(kLine.c_str()),
                    "line 2: has 'expected_number', a case of the other task; use 'hici eval lines'");
  const auto line = [&](const char* row) { return read(kLine + "\n" + row, RetrievalTask::kLines); };
  EXPECT_ERROR_SAYS(line(R"({"prompt": "a", "expected_number": "7"})"),
                    "expected_number is \"7\", expected a whole number");
  EXPECT_ERROR_SAYS(line(R"({"prompt": "a", "expected_number": -7})"), "line 2: expected_number is -7");
  EXPECT_ERROR_SAYS(line(kTopic.c_str()), "use 'hici eval topics'");
  EXPECT_ERROR_SAYS(read("", RetrievalTask::kLines), "x.jsonl: holds no test case");
}

TEST_F(RetrievalCasesTest, FilesAreFoundInLongEvalsFoldersByTheirNumbers) {
  for (const char* name :
       {"topics/testcases/25_topics.jsonl", "topics/testcases/5_topics.jsonl", "topics/testcases/10_topics.jsonl",
        "lines/testcases/200_lines.jsonl", "a/b/c/1_topics.jsonl"}) {
    write(name, kTopic);
  }
  const std::filesystem::path folder = folder_ / "topics" / "testcases";
  const std::vector<std::filesystem::path> expected{folder / "5_topics.jsonl", folder / "10_topics.jsonl",
                                                    folder / "25_topics.jsonl"};
  EXPECT_EQ(find_retrieval_cases(folder_ / "topics", RetrievalTask::kTopics), expected);
  EXPECT_EQ(find_retrieval_cases(folder_ / "", RetrievalTask::kTopics), expected) << "three folders down is too deep";
  EXPECT_EQ(find_retrieval_cases(expected[1], RetrievalTask::kTopics), (std::vector{expected[1]}));
  EXPECT_ERROR_SAYS(find_retrieval_cases(folder_ / "topics", RetrievalTask::kLines),
                    "topics: has no test cases; expected names like 200_lines.jsonl");
  EXPECT_ERROR_SAYS(find_retrieval_cases(folder_ / "none", RetrievalTask::kLines), "none: is not there");
}

TEST(ResponseFileNameTest, IsLongEvals) {
  EXPECT_EQ(response_file_name("a/5_topics.jsonl", RetrievalTask::kTopics), "5_response.txt");
  EXPECT_EQ(response_file_name("680_lines.jsonl.gz", RetrievalTask::kLines), "680_response.txt");
  EXPECT_EQ(response_file_name("mine.jsonl", RetrievalTask::kLines), "mine_response.txt");
  EXPECT_EQ(response_file_name("_lines.jsonl", RetrievalTask::kLines), "_lines_response.txt");
}

}  // namespace
}  // namespace hici::eval
