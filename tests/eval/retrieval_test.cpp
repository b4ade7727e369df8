// SPDX-License-Identifier: Apache-2.0
#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/eval/longeval/answers.h"
#include "hici/eval/longeval/scores.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace hici::eval {
namespace {

using testing::TemporaryFolder;

std::vector<RetrievalScore> score_all(const std::filesystem::path& folder, RetrievalTask task) {
  std::vector<RetrievalScore> scores;
  for (const auto& file : find_response_files(folder))
    scores.push_back(score_retrieval(file, read_retrieval_answers(file, task), task));
  return scores;
}

// Answers of two models to LongEval, with the counts that came with them (topics) or that Python finds (lines).
TEST(RetrievalTest, CountsAreThoseOfLongEval) {
  const std::string folder = HICI_SOURCE_DIR "/tests/eval/data/longeval";
  const nlohmann::json expected = read_json_file(folder + "/scores.json");
  EXPECT_EQ(nlohmann::json(retrieval_result(score_all(folder + "/topics", RetrievalTask::kTopics))),
            expected["topics"]);
  EXPECT_EQ(nlohmann::json(retrieval_result(score_all(folder + "/lines", RetrievalTask::kLines))), expected["lines"]);
}

TEST(RetrievalTest, FilesStandInTheOrderOfTheirNumbers) {
  const auto files = find_response_files(HICI_SOURCE_DIR "/tests/eval/data/longeval/topics/chatglm2-6b");
  ASSERT_EQ(files.size(), 5u);
  EXPECT_EQ(files[0].filename(), "5_response.txt");
  EXPECT_EQ(files[1].filename(), "10_response.txt");
  const TemporaryFolder empty;
  EXPECT_ERROR_SAYS(find_response_files(empty.path()), "has no answer files");
  EXPECT_ERROR_SAYS(find_response_files(empty / "none"), "is not there");
}

TEST(RetrievalTest, ATopicCountsWhereverItStands) {
  EXPECT_TRUE(has_retrieved({"The Role of Art", "it was THE ROLE OF ART, I think"}, RetrievalTask::kTopics));
  EXPECT_FALSE(has_retrieved({"The Role of Art", "the role of arms"}, RetrievalTask::kTopics));
}

TEST(RetrievalTest, OfALineTheLastNumberCounts) {
  EXPECT_TRUE(has_retrieved({"417", "line 3 is <00417>."}, RetrievalTask::kLines));
  EXPECT_FALSE(has_retrieved({"417", "417, no, 418"}, RetrievalTask::kLines));
  EXPECT_FALSE(has_retrieved({"417", "unknown"}, RetrievalTask::kLines));
  EXPECT_EQ(last_number("a0"), "0");
}

TEST(RetrievalTest, TextOfPythonLiterals) {
  EXPECT_EQ(without_python_quotes("['It\\'s a \\\\ \\n \\xe9 \\u732b \\U0001f600']"), "It's a \\ \n é 猫 😀");
  EXPECT_EQ(without_python_quotes("[\"It's\"]"), "It's");
  EXPECT_EQ(without_python_quotes("'plain'"), "plain");
  EXPECT_EQ(without_python_quotes("['a', 'b']"), "['a', 'b']");
  EXPECT_EQ(without_python_quotes("['\\ud83d \\q \\x4']"), "\\ud83d \\q \\x4") << "no escape, no change";
  EXPECT_EQ(without_python_quotes("It was 'art'"), "It was 'art'");
  EXPECT_EQ(without_python_quotes(""), "");
}

TEST(RetrievalTest, NamesTheLineThatDoesNotFit) {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& line, RetrievalTask task) {
    const std::string good = task == RetrievalTask::kLines ? "Label: 1, Predict: 1, Parsed: 1, prompt length: 9\n"
                                                           : "Label: a, Predict: ['a'], prompt length: -1\n";
    write_file_atomically(folder / "x.txt", good + line);
    return read_retrieval_answers(folder / "x.txt", task);
  };
  const auto topics = RetrievalTask::kTopics;
  const auto lines = RetrievalTask::kLines;
  EXPECT_EQ(read("Label: b, Predict: ['x, prompt length: 3'], prompt length: 12\r\n", topics)[1].answer,
            "x, prompt length: 3");
  EXPECT_EQ(read("Label: 2, Predict: , Parsed: -1, prompt length: 12", lines)[1].answer, "");
  EXPECT_EQ(read("Accuracy: 0.5\n", lines).size(), 1u);
  EXPECT_ERROR_SAYS(read("Accuracy: 0.5\n", topics), "x.txt: line 2: does not begin with 'Label: '");
  EXPECT_ERROR_SAYS(read("\n", topics), "line 2: does not begin with 'Label: '");
  EXPECT_ERROR_SAYS(read("Label: b", topics), "line 2: has no 'Predict: '");
  EXPECT_ERROR_SAYS(read("Label: b, Predict: ['x'], prompt le", topics), "line 2: has no 'prompt length: '");
  EXPECT_ERROR_SAYS(read("Label: b, Predict: ['x'], prompt length: n", topics), "line 2: prompt length is 'n'");
  EXPECT_ERROR_SAYS(read("Label: , Predict: ['x'], prompt length: 1", topics), "line 2: label is empty");
  EXPECT_ERROR_SAYS(read("Label: 5, Predict: x, prompt length: 1", lines), "line 2: has no 'Parsed: '");
  EXPECT_ERROR_SAYS(read("Label: art, Predict: x, Parsed: 1, prompt length: 1", lines), "line 2: label is 'art'");
  write_file_atomically(folder / "x.txt", "");
  EXPECT_ERROR_SAYS(read_retrieval_answers(folder / "x.txt", topics), "x.txt: holds no answer");
}

TEST(RetrievalTest, TwoFilesOfOneNameAreNotMixedUp) {
  const std::vector<RetrievalScore> twice = {{"m", "a/m/5_response.txt", 1, 2}, {"m", "b/m/5_response.txt", 1, 2}};
  EXPECT_ERROR_SAYS(retrieval_result(twice), "b/m/5_response.txt: a second 5_response.txt of a model called m");
}

}  // namespace
}  // namespace hici::eval
