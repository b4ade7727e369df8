// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/case_journal.h"

#include "hici/base/file.h"
#include "hici/base/sha256.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;
using hici::testing::TemporaryFolder;
using nlohmann::json;

const json kIdentity = {{"model", "tiny"}, {"max_new_tokens", 5}};

// Writes the answers one a line.
std::function<void(const std::vector<json>&)> writes_lines_to(const fs::path& file) {
  return [file](const std::vector<json>& answers) {
    std::string text;
    for (const json& answer : answers) text += answer.get<std::string>() + "\n";
    write_file_atomically(file, text);
  };
}

std::string text_of(const fs::path& file) { return read_file(file, 1 << 20); }
json answer_to(int64_t i) { return "answer " + std::to_string(i); }

class CaseJournalTest : public ::testing::Test {
 protected:
  CaseJournal opened(bool resume, ProcessRank process = {}, int64_t num_cases = 3) {
    return {file, kIdentity, num_cases, process, resume};
  }
  // Adds all of its open cases.
  static void work_off(CaseJournal& journal) {
    for (const int64_t i : journal.open_cases()) journal.add(i, answer_to(i));
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder.path())) found.push_back(entry.path().filename().string());
    return found;
  }

  TemporaryFolder folder;
  fs::path file = folder / "out.txt";
};

TEST_F(CaseJournalTest, LeavesTheFileAloneUntilAllCasesAreAnswered) {
  CaseJournal journal = opened(false);
  EXPECT_EQ(journal.open_cases(), (std::vector<int64_t>{0, 1, 2}));
  journal.add(1, answer_to(1));
  EXPECT_FALSE(journal.finish(writes_lines_to(file)));
  EXPECT_FALSE(fs::exists(file));
  EXPECT_EQ(names(), std::vector<std::string>{"out.txt.part-0-of-1"});
}

TEST_F(CaseJournalTest, GoesOnWhereItWasStopped) {
  opened(false).add(1, answer_to(1));
  CaseJournal journal = opened(true);
  EXPECT_EQ(journal.open_cases(), (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(journal.num_found(), 1);
  work_off(journal);
  EXPECT_TRUE(journal.finish(writes_lines_to(file)));
  EXPECT_EQ(text_of(file), "answer 0\nanswer 1\nanswer 2\n");
  EXPECT_EQ(names(), std::vector<std::string>{"out.txt"});
}

TEST_F(CaseJournalTest, DoesNothingTwice) {
  {
    CaseJournal journal = opened(false);
    work_off(journal);
    journal.finish(writes_lines_to(file));
  }
  CaseJournal again = opened(true);
  EXPECT_TRUE(again.is_finished());
  EXPECT_TRUE(again.open_cases().empty());
  EXPECT_FALSE(again.finish(writes_lines_to(file)));
  EXPECT_ERROR_SAYS(opened(false), "out.txt: is there already; give `resume`");
}

TEST_F(CaseJournalTest, RefusesEarlierWorkWithoutResume) {
  opened(false).add(1, answer_to(1));
  EXPECT_ERROR_SAYS(opened(false), "out.txt.part-0-of-1: answers of earlier work");
  EXPECT_ERROR_SAYS(opened(false, {.rank = 1, .world = 2, .local_rank = 1}), "out.txt.part-0-of-1: answers of earlier");
}

TEST_F(CaseJournalTest, RefusesAnswersOfOtherSettings) {
  opened(false).add(1, answer_to(1));
  json other = kIdentity;
  other["model"] = "large";
  EXPECT_ERROR_SAYS(CaseJournal(file, other, 3, {}, true), "answers with model \"tiny\", now it is \"large\"");
  EXPECT_ERROR_SAYS(opened(true, {}, 4), "is of 3 cases, now there are 4");
}

TEST_F(CaseJournalTest, SharesTheCasesAmongProcesses) {
  CaseJournal first = opened(false, {.rank = 0, .world = 2, .local_rank = 0}, 5);
  first.add(0, answer_to(0));
  CaseJournal second = opened(false, {.rank = 1, .world = 2, .local_rank = 1}, 5);
  EXPECT_EQ(second.open_cases(), (std::vector<int64_t>{1, 3}));
  work_off(second);
  EXPECT_FALSE(second.finish(writes_lines_to(file)));
  first.add(2, answer_to(2));
  first.add(4, answer_to(4));
  EXPECT_TRUE(first.finish(writes_lines_to(file)));
  EXPECT_EQ(text_of(file), "answer 0\nanswer 1\nanswer 2\nanswer 3\nanswer 4\n");
  EXPECT_FALSE(second.finish(writes_lines_to(file)));
  EXPECT_EQ(names(), std::vector<std::string>{"out.txt"});
}

TEST_F(CaseJournalTest, TakesUpTheWorkOfAnotherNumberOfProcesses) {
  CaseJournal second = opened(false, {.rank = 1, .world = 2, .local_rank = 1}, 5);
  work_off(second);
  CaseJournal alone = opened(true, {}, 5);
  EXPECT_EQ(alone.open_cases(), (std::vector<int64_t>{0, 2, 4}));
  work_off(alone);
  EXPECT_TRUE(alone.finish(writes_lines_to(file)));
  EXPECT_EQ(names(), std::vector<std::string>{"out.txt"});
}

TEST_F(CaseJournalTest, AProcessWithoutACaseDoesNotMindTheFile) {
  write_file_atomically(file, "finished by the other three\n");
  CaseJournal journal = opened(false, {.rank = 3, .world = 4, .local_rank = 3});
  EXPECT_TRUE(journal.open_cases().empty());
}

TEST_F(CaseJournalTest, SurvivesATornLine) {
  opened(false).add(1, answer_to(1));
  std::ofstream(folder / "out.txt.part-0-of-1", std::ios::app) << R"({"case": 2, "ans)";
  {
    CaseJournal journal = opened(true);
    EXPECT_EQ(journal.open_cases(), (std::vector<int64_t>{0, 2}));
    journal.add(0, answer_to(0));
  }
  CaseJournal journal = opened(true);
  EXPECT_EQ(journal.open_cases(), std::vector<int64_t>{2});
  work_off(journal);
  EXPECT_TRUE(journal.finish(writes_lines_to(file)));
}

TEST_F(CaseJournalTest, SurvivesATornFirstLine) {
  std::ofstream(folder / "out.txt.part-0-of-1") << R"({"ident)";
  CaseJournal journal = opened(true);
  work_off(journal);
  EXPECT_TRUE(journal.finish(writes_lines_to(file)));
}

TEST_F(CaseJournalTest, ASecondProcessOfTheSamePlaceIsRefused) {
  CaseJournal first = opened(false);
  first.add(0, answer_to(0));
  EXPECT_ERROR_SAYS(opened(true), "out.txt.part-0-of-1: another process is writing it");
  EXPECT_NO_THROW(opened(true, {.rank = 1, .world = 2, .local_rank = 1}));
}

TEST_F(CaseJournalTest, MakesItsFolderWithTheFirstAnswer) {
  file = folder / "a/b/out.txt";
  CaseJournal journal = opened(false);
  EXPECT_FALSE(fs::exists(folder / "a"));
  work_off(journal);
  EXPECT_TRUE(journal.finish(writes_lines_to(file)));
  EXPECT_EQ(text_of(file), "answer 0\nanswer 1\nanswer 2\n");
}

TEST_F(CaseJournalTest, ALinkIsNotFollowed) {
  fs::create_symlink("precious", folder / "out.txt.part-0-of-1");
  CaseJournal journal = opened(true);
  EXPECT_ERROR_SAYS(journal.add(0, answer_to(0)), "out.txt.part-0-of-1: is a symbolic link");
  EXPECT_FALSE(fs::exists(folder / "precious"));
}

// `hici eval ppl --output result.json` once more: the result stays until the new one is there.
TEST_F(CaseJournalTest, AResultThatIsReplacedStaysUntilTheNewOneIsWhole) {
  write_file_atomically(file, "earlier\n");
  EXPECT_ERROR_SAYS(opened(false), "out.txt: is there already");
  CaseJournal(file, kIdentity, 3, {}, false, /*replaces_file=*/true).add(1, answer_to(1));  // and is stopped
  EXPECT_EQ(text_of(file), "earlier\n");
  EXPECT_ERROR_SAYS(CaseJournal(file, kIdentity, 3, {}, false, true), "give `resume` to go on from them");
  CaseJournal journal = opened(true);
  EXPECT_EQ(journal.open_cases(), (std::vector<int64_t>{0, 2}));
  work_off(journal);
  EXPECT_TRUE(journal.finish(writes_lines_to(file)));
  EXPECT_EQ(text_of(file), "answer 0\nanswer 1\nanswer 2\n");
  EXPECT_TRUE(opened(true).is_finished());
}

TEST_F(CaseJournalTest, NamesAJournalThatIsNone) {
  std::ofstream(folder / "out.txt.part-0-of-1") << "{\"case\": 1, \"answer\": \"?\"}\n";
  EXPECT_ERROR_SAYS(opened(true), "out.txt.part-0-of-1: line 1");
  std::ofstream(folder / "out.txt.part-0-of-1") << R"({"identity": {"model": "tiny", "max_new_tokens": 5}, "cases": 3})"
                                                << "\n{\"case\": 3, \"answer\": \"?\"}\n";
  EXPECT_ERROR_SAYS(opened(true), "case");
}

TEST_F(CaseJournalTest, HoldsAFinishedFileAgainstItsRecord) {
  const fs::path record = folder / "out.json";
  const auto finished = [&](const json& identity) { return CaseJournal(file, identity, 3, {}, true, false, {record}); };
  write_file_atomically(file, "answers");
  EXPECT_TRUE(finished(kIdentity).is_finished());  // no record: a line says so
  write_file_atomically(record, R"({"model": "tiny", "correct": 3})");
  EXPECT_TRUE(finished(kIdentity).is_finished());  // it says nothing of max_new_tokens
  json other = kIdentity;
  other["model"] = "large";
  EXPECT_ERROR_SAYS(finished(other), "out.txt: is finished, with model \"tiny\", now it is \"large\"; use model");
  EXPECT_EQ(text_of(file), "answers");
}

TEST_F(CaseJournalTest, ADamagedRecordAndAChangedFileAreNotFinishedWork) {
  const fs::path record = folder / "out.json";
  const auto finished = [&] {
    return CaseJournal(file, kIdentity, 3, {}, true, false, {.path = record, .required = {"command", "cases"}});
  };
  write_file_atomically(file, "answers");
  write_file_atomically(record, "{}");
  EXPECT_ERROR_SAYS(finished(), "out.json: has no command, so that it is damaged");
  write_file_atomically(record, R"({"command": "eval topics"})");
  EXPECT_ERROR_SAYS(finished(), "out.json: has no cases, so that it is damaged");
  json whole = {{"command", "eval topics"}, {"cases", 3}};
  write_file_atomically(record, whole.dump());
  EXPECT_TRUE(finished().is_finished());  // an older one does not say what the file held
  whole[kAnswersSha256] = sha256_hex("answers");
  write_file_atomically(record, whole.dump());
  EXPECT_TRUE(finished().is_finished());
  write_file_atomically(file, "answerz");
  EXPECT_ERROR_SAYS(finished(), "out.txt: was changed after it was finished: its SHA-256 is ");
  EXPECT_EQ(text_of(file), "answerz");
}

TEST(IdentityOfTest, LeavesOutNamesAndPlaces) {
  EXPECT_EQ(identity_of({{"label", "x"}, {"base_model", "m"}, {"device", "cpu"}, {"dtype", "Float"}}),
            json({{"dtype", "Float"}}));
  EXPECT_EQ(identity_of({{"processes", 8}, {"segment_parallel", 4}, {"seq_len", 96}}), json({{"seq_len", 96}}));
}

}  // namespace
}  // namespace hici::eval
