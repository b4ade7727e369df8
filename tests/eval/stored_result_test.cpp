// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/stored_result.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <limits>

namespace hici::eval {
namespace {

using testing::TemporaryFolder;

class StoredResultTest : public ::testing::Test {
 protected:
  StoredResultTest() {
    write("lcc.jsonl", row("tide", "diet") + row("x = 1", "x = 1"));
    write("qasper.jsonl", row("low water", "low tide"));
    scores_ = score_longbench(folder_.path(), {});
  }

  static std::string row(const std::string& text, const std::string& answer) {
    return R"({"pred": ")" + text + R"(", "answers": [")" + answer + "\"], \"length\": 5000}\n";
  }
  void write(const std::string& name, const std::string& text) const { write_file_atomically(folder_ / name, text); }
  std::vector<std::string> lines(const std::string& stored, const LongBenchScoring& scoring = {}) const {
    write("result.json", stored);
    std::vector<std::string> lines =
        differences_from_stored(folder_.path(), score_longbench(folder_.path(), scoring), scoring);
    for (std::string& line : lines) line = line.substr(line.find("result.json"));
    return lines;
  }
  // The one line about a file that is compared with nothing.
  std::string only_line(const std::string& stored, const LongBenchScoring& scoring = {}) const {
    const std::vector<std::string> all = lines(stored, scoring);
    EXPECT_EQ(all.size(), 1U) << stored.substr(0, 100);
    return all.empty() ? "" : all.front();
  }

  TemporaryFolder folder_;
  LongBenchModelScores scores_;
};

TEST_F(StoredResultTest, SaysByHowMuchEachDataSetDiffers) {
  EXPECT_EQ(only_line(R"({"lcc": 75.0, "qasper": 48.75})"), "result.json: qasper 48.75, here 50.00 (1.25 more)");
  EXPECT_EQ(only_line(R"({"lcc": 75.0, "qasper": 51})"), "result.json: qasper 51.00, here 50.00 (1.00 less)");
  EXPECT_EQ(only_line(R"({"lcc": 75.0, "qasper": null})"), "result.json: qasper none, here 50.00");
  EXPECT_EQ(lines(R"({"lcc": 1, "qasper": 2})").size(), 2U);
}

TEST_F(StoredResultTest, TheOtherRatioOfCodeIsNamedWhereItExplainsTheDifference) {
  EXPECT_EQ(only_line(R"({"lcc": 62.5})"),
            "result.json: lcc 62.50, here 75.00 (12.50 more); `code_ratio` difflib gives what it says");
  EXPECT_EQ(only_line(R"({"lcc": 62.4})"), "result.json: lcc 62.40, here 75.00 (12.60 more)");
  EXPECT_EQ(only_line(R"({"lcc": 75.0})", {.datasets = {}, .code_ratio = CodeRatio::kDifflib}),
            "result.json: lcc 75.00, here 62.50 (12.50 less); `code_ratio` levenshtein gives what it says");
}

TEST_F(StoredResultTest, NothingIsSaidOfEqualScoresOfMissingFilesAndOfOurOwn) {
  EXPECT_TRUE(differences_from_stored(folder_.path(), scores_, {}).empty());
  EXPECT_TRUE(lines(R"({"lcc": 75.0, "qasper": 50})").empty());
  EXPECT_TRUE(lines(R"({"qasper": 50.004})").empty()) << "rounds to the same";
  const std::string ours = R"({"lcc": 1})";
  write("result_settings.json", longbench_record_text(scores_, false, ours));
  EXPECT_TRUE(lines(ours).empty()) << "a result of ours is replaced as ever";
  EXPECT_EQ(lines(ours + " ").size(), 1U) << "which it is no more once somebody else wrote it";
}

TEST_F(StoredResultTest, ScoresOfOtherDataSetsWouldBeLostAndAreNamed) {
  EXPECT_EQ(only_line(R"({"lcc": 75.0, "trec": 9, "squad": 1})"), "result.json: has also squad, trec, not scored here");
}

TEST_F(StoredResultTest, BucketsAreComparedEachAndPythonsNaNIsNone) {
  const LongBenchScoring scoring{.datasets = {}, .by_length = true};
  EXPECT_TRUE(lines(R"({"lcc": {"0-4k": NaN, "4-8k": 75.0, "8k+": NaN}})", scoring).empty());
  EXPECT_EQ(only_line(R"({"lcc": {"0-4k": 3, "4-8k": 62.5, "8k+": NaN}})", scoring),
            "result.json: lcc 0-4k 3.00, here none, 4-8k 62.50, here 75.00 (12.50 more)");
  EXPECT_EQ(only_line(R"({"lcc": {"0-4k": NaN, "4-8k": 62.5, "8k+": NaN}})", scoring),
            "result.json: lcc 4-8k 62.50, here 75.00 (12.50 more); `code_ratio` difflib gives what it says");
  EXPECT_NE(only_line(R"({"lcc": 75.0})", scoring).find("has one score"), std::string::npos);
  EXPECT_NE(only_line(R"({"lcc": {"0-4k": 1}})").find("has scores by length of the context; use `e`"),
            std::string::npos);
}

TEST_F(StoredResultTest, AFileThatIsNoResultIsOneLine) {
  for (const std::string bad : {"", "no JSON", "[1, 2]", "7", "{", R"({"lcc": "75"})", R"({"lcc": [75]})",
                                R"({"lcc": true})", "{\"lcc\": 1e999}", "\xff\xfe{}", R"({"lcc": 1, "lcc": 2})"})
    EXPECT_NE(only_line(bad).find("are not compared with those here"), std::string::npos) << bad;
  std::string deep(100, '[');
  EXPECT_NE(only_line(deep).find("are not compared"), std::string::npos);
  EXPECT_NE(only_line(std::string((4 << 20) + 1, ' ')).find("are not compared"), std::string::npos) << "too large";
}

TEST_F(StoredResultTest, TheRecordBelongsToOneTextOfTheResult) {
  EXPECT_EQ(recorded_code_ratio(folder_.path()), std::nullopt);
  const std::string text = longbench_result_text(scores_, false);
  write("result.json", text);
  EXPECT_EQ(recorded_code_ratio(folder_.path()), std::nullopt) << "no record";
  scores_.code_ratio = CodeRatio::kDifflib;
  write("result_settings.json", longbench_record_text(scores_, false, text));
  EXPECT_EQ(recorded_code_ratio(folder_.path()), CodeRatio::kDifflib);
  write("result.json", text + " ");
  EXPECT_EQ(recorded_code_ratio(folder_.path()), std::nullopt) << "somebody wrote another one";
  for (const std::string bad : {"", "[]", "{}", R"({"result_sha256": 7})"}) {
    write("result_settings.json", bad);
    EXPECT_EQ(recorded_code_ratio(folder_.path()), std::nullopt) << bad;
  }
}

TEST_F(StoredResultTest, TheNameForWhatWasThereIsFree) {
  EXPECT_EQ(free_name_for_stored(folder_.path()).filename(), "result.others.json");
  write("result.others.json", "{}");
  EXPECT_EQ(free_name_for_stored(folder_.path()).filename(), "result.others-2.json");
}

}  // namespace
}  // namespace hici::eval
