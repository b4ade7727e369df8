// SPDX-License-Identifier: Apache-2.0
#include "hici/report/collect.h"

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
  EXPECT_ERROR_SAYS(collect({root_ / "other.json"}), "other.json: is no result of 'hici eval ppl'");
  EXPECT_ERROR_SAYS(collect({root_ / "nothing"}), "nothing: nothing to report, no metrics.jsonl");
}

TEST(CleanTextTest, LeavesWordsAndTakesWhatATerminalOrPageMightObey) {
  EXPECT_EQ(clean_text("Llama-3, 8B \xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80"),
            "Llama-3, 8B \xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80");
  EXPECT_EQ(clean_text("a\x1b[2Jb\nc\x7F"), "a?[2Jb?c?");
  EXPECT_EQ(clean_text("\xC2\x9B"
                       "x"),
            "?x");                          // C1 control: an escape sequence in one character
  EXPECT_EQ(clean_text("\xFF\xC3"), "??");  // no UTF-8
  EXPECT_EQ(clean_text("\xC0\xAF\xED\xA0\x80\xF4\x90\x80\x80"), "?????????");  // overlong, surrogate, too large
}

}  // namespace
}  // namespace hici::report
