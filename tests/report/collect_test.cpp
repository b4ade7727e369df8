// SPDX-License-Identifier: Apache-2.0
#include "hici/report/collect.h"

#include "hici/base/json.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

namespace hici::report {
namespace {

namespace fs = std::filesystem;

class CollectTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }

  static std::string result(const std::string& label, int context, const std::string& rest) {
    return R"({"command": "eval ppl", "label": ")" + label + R"(", "attention": "hici", "seq_len": )" +
           std::to_string(context) + rest + "}";
  }

  static std::string said(const std::function<void()>& work) {
    ::testing::internal::CaptureStderr();
    work();
    return ::testing::internal::GetCapturedStderr();
  }

  testing::TemporaryFolder root_;
};

TEST_F(CollectTest, FindsRunsAndResultsInFoldersButNotInCheckpoints) {
  write("all/base/metrics.jsonl",
        "{\"step\": 1, \"loss\": 2.5, \"tokens_per_second\": 10}\n{\"step\": 2, \"loss\": null}\n{\"step\"");
  write("all/base/checkpoint-2/metrics.jsonl", "{\"step\": 9, \"loss\": 1}\n");
  write("all/empty/metrics.jsonl", "");
  write("all/eval/a.json", result("HiCI", 512, R"(, "perplexity": 4.5, "accuracy": 0.5)"));
  write("all/eval/tokens.json", R"({"command": "tokenize"})");
  write("all/eval/list.json", "[1]");
  const ReportData data = collect({root_ / "all"});
  ASSERT_EQ(data.runs.size(), 1U);
  EXPECT_EQ(data.runs[0].name, "base");
  ASSERT_EQ(data.runs[0].steps.size(), 2U);
  EXPECT_EQ(data.runs[0].steps[0].loss, 2.5);
  EXPECT_TRUE(std::isnan(data.runs[0].steps[1].loss));
  ASSERT_EQ(data.perplexities.size(), 1U);
  EXPECT_EQ(data.perplexities[0].label, "HiCI");
  EXPECT_EQ(data.perplexities[0].attention, "HiCI");
  EXPECT_EQ(data.perplexities[0].context, 512);
  EXPECT_EQ(data.perplexities[0].perplexity, 4.5);
}

TEST_F(CollectTest, OneSegmentIsARowOfItsOwn) {
  write("a.json", result("m", 512, R"(, "eval_mode": "full_hierarchical", "perplexity": 4)"));
  EXPECT_EQ(collect({root_ / "a.json"}).perplexities.at(0).attention, "HiCI (one segment)");
}

TEST_F(CollectTest, ALaterResultForTheSameThingCountsAndIsNamed) {
  write("a.json", result("m", 512, R"(, "perplexity": 4)"));
  write("b.json", result("m", 512, R"(, "perplexity": 5)"));
  ReportData data;
  const std::string warnings = said([&] { data = collect({root_.path()}); });
  ASSERT_EQ(data.perplexities.size(), 1U);
  EXPECT_EQ(data.perplexities[0].perplexity, 5);
  EXPECT_NE(warnings.find("b.json: a second result for m, HiCI attention, context 512; this one counts"),
            std::string::npos)
      << warnings;
}

TEST_F(CollectTest, BrokenResultsInAFolderAreNamedAndLeftOut) {
  write("ok.json", result("m", 512, R"(, "perplexity": 4)"));
  write("torn.json", "{\"command\": ");
  write("odd.json", result("m", -5, ""));
  ReportData data;
  const std::string warnings = said([&] { data = collect({root_.path()}); });
  EXPECT_EQ(data.perplexities.size(), 1U);
  EXPECT_NE(warnings.find("torn.json"), std::string::npos) << warnings;
  EXPECT_NE(warnings.find("odd.json: seq_len"), std::string::npos) << warnings;
}

TEST_F(CollectTest, WhatIsNotThereOrNoResultIsNamed) {
  write("other.json", "{}");
  fs::create_directory(root_ / "nothing");
  EXPECT_ERROR_SAYS(collect({root_ / "none"}), "none: no such file or directory");
  EXPECT_ERROR_SAYS(collect({root_ / "other.json"}),
                    "other.json: holds no result that a report knows; give a run directory");
  EXPECT_ERROR_SAYS(collect({root_ / "nothing"}), "nothing: nothing to report, no metrics.jsonl");
}

// The counts of the files beside the answers come from LongEval (topics) and from Python (lines).
TEST_F(CollectTest, AnswersToLongEvalAreScored) {
  const fs::path folder = HICI_SOURCE_DIR "/tests/eval/data/longeval";
  const ReportData data = collect({folder});
  nlohmann::json found = {{"topics", nlohmann::json::object()}, {"lines", nlohmann::json::object()}};
  for (const RetrievalResult& result : data.retrievals) {
    EXPECT_EQ(result.judge, "");
    const char* task = result.task == eval::RetrievalTask::kTopics ? "topics" : "lines";
    found[task][result.model][std::to_string(result.num_items) + "_response.txt"] = {result.num_correct,
                                                                                     result.num_answers};
  }
  EXPECT_EQ(found, read_json_file(folder / "scores.json"));
}

TEST_F(CollectTest, AScoreBesideItsAnswersIsNoSecondResult) {
  write("m/5_response.txt", "Label: a, Predict: a, prompt length: 9\nLabel: b, Predict: c, prompt length: 9\n");
  write("judged.json", R"({"by_rule": {"m": {"5_response.txt": [1, 2]}}, "judge_model": "j",
                           "by_judge": {"m": {"5_response.txt": [2, 2, 0]}}})");
  ReportData data;
  EXPECT_EQ(said([&] { data = collect({root_.path()}); }), "");
  ASSERT_EQ(data.retrievals.size(), 2U);
  EXPECT_EQ(data.retrievals[0].num_correct, 1);
  EXPECT_EQ(data.retrievals[1].judge, "j");
  EXPECT_EQ(data.retrievals[1].num_correct, 2);
}

TEST_F(CollectTest, FilesAreTakenOneByOneToo) {
  write("run/metrics.jsonl", "{\"step\": 1, \"loss\": 2}\n");
  write("m/7_response.txt", "Label: 12, Predict: 12, Parsed: 12, prompt length: 9\n");
  const ReportData data = collect({root_ / "run/metrics.jsonl", root_ / "m/7_response.txt"});
  EXPECT_EQ(data.runs.at(0).name, "run");
  EXPECT_EQ(data.retrievals.at(0).task, eval::RetrievalTask::kLines);
  write("m/x_response.txt", "");
  EXPECT_ERROR_SAYS(collect({root_ / "m/x_response.txt"}), "does not begin with the number of topics or lines");
}

}  // namespace
}  // namespace hici::report
