// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/bench_report.h"

#include <gtest/gtest.h>

namespace hici::bench {
namespace {

BenchReport small_report() {
  BenchReport report;
  report.columns = {{"attention", "/attention", 1, true},
                    {"tokens", "/seq_len"},
                    {"peak GiB", "/peak", 1024},
                    {"loss %", "/parts/loss"}};
  report.rows = {
      {{"status", kOk}, {"attention", "hici"}, {"seq_len", 8192}, {"peak", 2560}, {"parts", {{"loss", 12.5}}}},
      {{"status", kOutOfMemory}, {"attention", "full"}, {"seq_len", 65536}}};
  return report;
}

TEST(BenchReportTest, CsvHasEveryDigitAndTheStatus) {
  EXPECT_EQ(small_report().csv(),
            "attention,tokens,peak GiB,loss %,status\n"
            "hici,8192,2.5,12.5,ok\n"
            "full,65536,,,out of memory\n");
}

TEST(BenchReportTest, LatexSaysWhatDidNotFit) {
  const std::string latex = small_report().latex();
  EXPECT_NE(latex.find("\\begin{tabular}{lrrr}"), std::string::npos) << latex;
  EXPECT_NE(latex.find("attention & tokens & peak GiB & loss \\% \\\\\n\\midrule\n"), std::string::npos) << latex;
  EXPECT_NE(latex.find("hici & 8192 & 2.50 & 12.5 \\\\\n"), std::string::npos) << latex;
  EXPECT_NE(latex.find("full & 65536 & out of memory & - \\\\\n"), std::string::npos) << latex;
}

TEST(BenchReportTest, HasFailedOnlyWhenNoRowHasNumbers) {
  BenchReport report = small_report();
  EXPECT_FALSE(report.all_failed());
  report.rows.erase(report.rows.begin());
  EXPECT_TRUE(report.all_failed());
}

}  // namespace
}  // namespace hici::bench
