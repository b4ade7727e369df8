// SPDX-License-Identifier: Apache-2.0
#include "hici/train/metrics.h"

#include "hici/base/file.h"
#include "hici/base/json_lines.h"
#include "support/file_size_limit.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace hici::train {
namespace {

namespace fs = std::filesystem;

StepMetrics metrics_of(int64_t step, double loss) {
  return {.step = step,
          .epoch = 0.5,
          .loss = loss,
          .grad_norm = 1.25,
          .hici_grad_norm = 0.1,
          .learning_rate = 2e-5,
          .hici_learning_rate = 2e-4,
          .tokens = step * 1024,
          .tokens_per_second = 8123.4,
          .peak_memory_bytes = 432013312,
          .seconds = 2.0};
}

std::vector<int64_t> steps_in(const fs::path& file) {
  std::vector<int64_t> steps;
  for (const JsonLine& line : read_json_lines(file)) steps.push_back(line.value.at("step").get<int64_t>());
  return steps;
}

// What `work` says on stderr.
std::string said(const std::function<void()>& work) {
  ::testing::internal::CaptureStderr();
  work();
  return ::testing::internal::GetCapturedStderr();
}

TEST(MetricsTest, EachLoggedStepIsALineWithEveryBitOfTheLoss) {
  const testing::TemporaryFolder folder;
  constexpr double kLoss = 0.1 + 0.2;
  MetricsWriter writer(folder.path(), 0, 10);
  writer.log(metrics_of(1, kLoss));
  const std::vector<JsonLine> lines = read_json_lines(folder / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].value.at("loss").get<double>(), kLoss);
  for (const char* key : {"step", "epoch", "grad_norm", "hici_grad_norm", "learning_rate", "hici_learning_rate",
                          "tokens", "tokens_per_second", "peak_memory_bytes", "seconds"}) {
    EXPECT_TRUE(lines[0].value.contains(key)) << key;
  }
  EXPECT_EQ(said([&] { writer.finish(); }), "");
}

TEST(MetricsTest, OfSeveralProcessesTheSlowestIsNamedWhereItShows) {
  StepMetrics metrics = metrics_of(1, 2.0);
  EXPECT_EQ(metrics_line(metrics).find("slowest"), std::string::npos);
  metrics.slowest_rank = 3;
  metrics.slowest_rank_time = 1.043;
  EXPECT_NE(metrics_line(metrics).find(R"("slowest_rank":3,"slowest_rank_time":1.043})"), std::string::npos);
  EXPECT_NE(step_text(metrics, 10, 5).find("8.12k tokens/s  slowest rank 3 +4 %  "), std::string::npos);
  metrics.slowest_rank_time = 1.004;
  EXPECT_EQ(step_text(metrics, 10, 5).find("slowest"), std::string::npos);
}

TEST(MetricsTest, TheEndOfARunSaysHowManyLinesAFullDiskHasCost) {
  const testing::TemporaryFolder folder;
  MetricsWriter writer(folder.path(), 0, 10);
  {
    const testing::FileSizeLimit limit(8);
    for (int step = 1; step <= 3; ++step) writer.log(metrics_of(step, 1.0));
  }
  writer.log(metrics_of(4, 1.0));
  const std::string warning = said([&] { writer.finish(); });
  EXPECT_NE(warning.find("metrics.jsonl: 3 lines could not be written"), std::string::npos) << warning;
  EXPECT_EQ(steps_in(folder / "metrics.jsonl"), std::vector<int64_t>{4});
}

TEST(MetricsTest, ALossThatIsNoNumberIsNull) {
  EXPECT_NE(metrics_line(metrics_of(1, std::numeric_limits<double>::quiet_NaN())).find("\"loss\":null"),
            std::string::npos);
}

TEST(MetricsTest, AResumedRunHasNoStepTwiceAndNoTornLine) {
  const testing::TemporaryFolder folder;
  {
    MetricsWriter dead(folder.path(), 0, 10);
    for (int step = 1; step <= 5; ++step) dead.log(metrics_of(step, 9.0));
  }
  std::ofstream(folder / "metrics.jsonl", std::ios::app) << R"({"step":6,"loss":)";
  MetricsWriter resumed(folder.path(), 3, 10);
  EXPECT_EQ(steps_in(folder / "metrics.jsonl"), (std::vector<int64_t>{1, 2, 3}));
  resumed.log(metrics_of(4, 1.0));
  EXPECT_EQ(steps_in(folder / "metrics.jsonl"), (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(read_json_lines(folder / "metrics.jsonl").back().value.at("loss"), 1.0);
}

TEST(MetricsTest, TheLowestLossOfAResumedRunMayLieBeforeIt) {
  const testing::TemporaryFolder folder;
  {
    MetricsWriter before(folder.path(), 0, 10);
    for (const auto& [step, loss] : {std::pair<int64_t, double>{1, 3.0}, {2, 1.5}, {3, 2.0}, {4, 0.5}})
      before.log(metrics_of(step, loss));
  }
  MetricsWriter resumed(folder.path(), 3, 10);  // step 4 was lost
  EXPECT_EQ(resumed.losses().lowest_step, 2);
  EXPECT_EQ(resumed.losses().lowest, 1.5);
  resumed.log(metrics_of(4, 1.75));
  resumed.show(metrics_of(5, 1.0));  // seen, though no line was kept
  resumed.log(metrics_of(6, 1.25));
  EXPECT_EQ(resumed.losses().lowest_step, 5);
  EXPECT_EQ(resumed.losses().last, 1.25);
}

EvaluationMetrics evaluation_of(int64_t step, double loss) {
  EvaluationMetrics evaluation;
  evaluation.step = step;
  evaluation.loss = loss;
  evaluation.targets = 4200;
  evaluation.seconds = 1.2;
  return evaluation;
}

TEST(MetricsTest, EvaluationsHaveLinesOfTheirOwnThatAResumedRunGoesOnWith) {
  const testing::TemporaryFolder folder;
  {
    MetricsWriter before(folder.path(), 0, 10);
    said([&] { before.log_evaluation(evaluation_of(0, 4.0)); });
    for (int step = 1; step <= 4; ++step) {
      before.log(metrics_of(step, 9.0));
      said([&] { before.log_evaluation(evaluation_of(step, 3.0 - step / 8.0)); });
    }
    EXPECT_EQ(before.losses().lowest, 9.0) << "of training alone";
  }
  const MetricsWriter resumed(folder.path(), 2, 10);
  EXPECT_EQ(resumed.evaluations(), (std::map<int64_t, double>{{0, 4.0}, {1, 2.875}, {2, 2.75}}));
  EXPECT_EQ(steps_in(folder / "metrics.jsonl"), (std::vector<int64_t>{0, 1, 1, 2, 2}));
  const nlohmann::json line = read_json_lines(folder / "metrics.jsonl").back().value;
  EXPECT_EQ(line.at("eval_perplexity").get<double>(), std::exp(2.75));
  EXPECT_EQ(line.at("eval_tokens"), 4200);
  EXPECT_FALSE(line.contains("loss"));
  EXPECT_EQ(evaluation_text(evaluation_of(2, 2.75), 300),
            "step 2/300  evaluation loss 2.7500  perplexity 15.64  4.20k target tokens in 1.20 s");
}

TEST(MetricsTest, ANewRunKeepsTheLinesOfAnotherAside) {
  const testing::TemporaryFolder folder;
  for (int64_t run = 1; run <= 3; ++run) MetricsWriter(folder.path(), 0, 10).log(metrics_of(run, 1.0));
  EXPECT_EQ(steps_in(folder / "metrics.1.jsonl"), std::vector<int64_t>{1});
  EXPECT_EQ(steps_in(folder / "metrics.2.jsonl"), std::vector<int64_t>{2});
  EXPECT_EQ(steps_in(folder / "metrics.jsonl"), std::vector<int64_t>{3});
}

TEST(MetricsTest, PeopleSeeStepLossNormSpeedMemoryAndTimeLeft) {
  EXPECT_EQ(step_text(metrics_of(12, 2.34561), 300, 65),
            "step 12/300  loss 2.3456  grad 1.25  hici 0.1  8.12k tokens/s  412 MiB  1m05s left");
  StepMetrics plain = metrics_of(12, 2.34561);
  plain.has_hici = false;
  EXPECT_EQ(step_text(plain, 300, 65), "step 12/300  loss 2.3456  grad 1.25  8.12k tokens/s  412 MiB  1m05s left");
  ::testing::internal::CaptureStderr();
  {
    const testing::TemporaryFolder folder;
    MetricsWriter writer(folder.path(), 10, 20);  // one step took two seconds, nine are left
    writer.log(metrics_of(11, 1.0));
    writer.finish();
  }
  const std::string seen = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(seen.find("step 11/20  loss 1.0000"), std::string::npos) << seen;
  EXPECT_NE(seen.find("18s left\n"), std::string::npos) << seen;
}

}  // namespace
}  // namespace hici::train
