// SPDX-License-Identifier: Apache-2.0
#include "hici/train/batch_prefetcher.h"

#include "hici/base/error.h"
#include "hici/ops/linear_cross_entropy.h"
#include "support/error_message.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace hici::train {
namespace {

// Eight samples of four tokens, each its number over and over; sample `broken` cannot be read.
class NumberedSamples : public data::BatchSource {
 public:
  int64_t num_samples() const override { return 8; }
  data::TokenBatch batch(const std::vector<int64_t>& samples) const override {
    ++batches_read;
    data::TokenBatch batch{at::empty({static_cast<int64_t>(samples.size()), 4}, at::kLong), {}, 0, samples};
    for (size_t row = 0; row < samples.size(); ++row) {
      HICI_CHECK(samples[row] != broken, "sample ", samples[row], ": cannot be read");
      batch.tokens_BT[static_cast<int64_t>(row)].fill_(samples[row]);
    }
    batch.labels_BT = batch.tokens_BT.clone();
    batch.labels_BT.narrow(1, 0, 4 - labelled).fill_(ops::kIgnoredLabel);
    batch.num_targets = static_cast<int64_t>(samples.size()) * labelled;
    return batch;
  }

  int64_t broken = -1;
  int64_t labelled = 3;  // of the four tokens, the last ones
  mutable std::atomic<int> batches_read{0};
};

config::TrainConfig config_of(int64_t batch, int64_t accumulation) {
  config::TrainConfig config;
  config.batch_size = batch;
  config.accumulation_steps = accumulation;
  config.shuffle = false;
  return config;
}

std::vector<int64_t> blocks_of(const StepBatches& step) {
  std::vector<int64_t> blocks;
  for (const MicroBatch& micro : step.micro_batches)
    blocks.insert(blocks.end(), micro.batch.blocks.begin(), micro.batch.blocks.end());
  return blocks;
}

TEST(BatchPrefetcherTest, StepsComeInOrderWithThePositionBehindThem) {
  const NumberedSamples samples;
  BatchPrefetcher batches(samples, config_of(2, 2), {0, 2}, 3, at::kCPU);
  StepBatches step = batches.next();
  EXPECT_EQ(blocks_of(step), (std::vector<int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(step.position, (data::SamplerPosition{0, 6})) << "not where reading ahead is";
  EXPECT_EQ(step.num_targets, 12);
  step = batches.next();
  EXPECT_EQ(blocks_of(step), (std::vector<int64_t>{6, 7, 0, 1}));
  EXPECT_EQ(step.position, (data::SamplerPosition{1, 2}));
  EXPECT_EQ(blocks_of(batches.next()), (std::vector<int64_t>{2, 3, 4, 5}));
}

TEST(BatchPrefetcherTest, TheNextStepIsReadWhileNobodyAsks) {
  const NumberedSamples samples;
  BatchPrefetcher batches(samples, config_of(1, 2), {}, 2, at::kCPU);
  batches.next();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (samples.batches_read < 4 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(samples.batches_read, 4);
  batches.next();
  EXPECT_EQ(samples.batches_read, 4) << "nothing is read behind the last step";
}

TEST(BatchPrefetcherTest, AFailureComesWithTheStepThatItBelongsTo) {
  NumberedSamples samples;
  samples.broken = 2;
  BatchPrefetcher batches(samples, config_of(1, 2), {}, 4, at::kCPU);
  EXPECT_EQ(blocks_of(batches.next()), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(testing::error_message([&] { batches.next(); }), "sample 2: cannot be read");
}

TEST(BatchPrefetcherTest, RowsWithLabelsArePickedOutWhereTheyAreFew) {
  NumberedSamples samples;
  samples.labelled = 1;
  config::TrainConfig config = config_of(2, 1);
  const MicroBatch few = BatchPrefetcher(samples, config, {}, 1, at::kCPU).next().micro_batches[0];
  EXPECT_TRUE(at::equal(few.labelled_rows_n, at::tensor({3, 7}, at::kLong)));
  EXPECT_TRUE(at::equal(few.labels_n, at::tensor({0, 1}, at::kLong)));
  samples.labelled = 2;
  const MicroBatch half = BatchPrefetcher(samples, config, {}, 1, at::kCPU).next().micro_batches[0];
  EXPECT_FALSE(half.labelled_rows_n.defined());
  EXPECT_EQ(half.labels_n.numel(), 8);
  samples.labelled = 1;
  config.stream_segments = true;  // segments cut the labels by themselves
  EXPECT_FALSE(BatchPrefetcher(samples, config, {}, 1, at::kCPU).next().micro_batches[0].labels_n.defined());
}

}  // namespace
}  // namespace hici::train
