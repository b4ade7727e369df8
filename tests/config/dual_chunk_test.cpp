// SPDX-License-Identifier: Apache-2.0
#include "hici/config/dual_chunk.h"

#include "support/error_message.h"
#include "support/tiny_config.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hici::config {
namespace {

using hici::testing::error_message;

TEST(DualChunkTest, SizesAreThoseOfThePaper) {
  const ModelConfig llama2 = testing::config_with_positions(Family::kLlama, 4096);
  EXPECT_EQ(DualChunkRule{}.resolve(llama2), (DualChunk{2816, 3072, 1}));                      // window L/16
  EXPECT_EQ(DualChunkRule{.local_window = 1024}.resolve(llama2), (DualChunk{2048, 3072, 1}));  // L/4
  EXPECT_EQ((DualChunkRule{.pretraining_length = 8192}.resolve(llama2)), (DualChunk{5632, 6144, 1}));
  EXPECT_EQ((DualChunkRule{.pretraining_length = 18, .local_window = 3}.resolve(llama2)), (DualChunk{10, 13, 1}));
}

TEST(DualChunkTest, ThePretrainingLengthIsWhatTheRopeCoversUnlessItIsSaid) {
  ModelConfig config = testing::config_with_positions(Family::kQwen3, 32768);
  EXPECT_EQ(DualChunkRule{}.pretraining_length_of(config), 32768);
  config.rope.type = RopeType::kLinear;
  config.rope.factor = 2;
  EXPECT_EQ(DualChunkRule{}.pretraining_length_of(config), 65536);
  config.rope.context_factor = 1.5;  // an adapter that was trained so
  EXPECT_EQ(DualChunkRule{}.pretraining_length_of(config), 98304);
  EXPECT_EQ(DualChunkRule{.pretraining_length = 100}.pretraining_length_of(config), 100);
}

TEST(DualChunkTest, TheMagnitudeGrowsWithTheLogarithmOfTheLength) {
  const ModelConfig llama2 = testing::config_with_positions(Family::kLlama, 4096);
  auto magnitude = [&](int64_t length) { return DualChunkRule{.magnitude_length = length}.resolve(llama2).magnitude; };
  EXPECT_EQ(magnitude(0), 1);
  EXPECT_EQ(magnitude(2048), 1);
  EXPECT_EQ(magnitude(4096), 1);
  EXPECT_DOUBLE_EQ(magnitude(32768), 1 + 0.05 * std::log(8.0));
}

TEST(DualChunkTest, ValuesThatTheModelDoesNotAllowNameTheOption) {
  const ModelConfig llama = testing::config_with_positions(Family::kLlama, 64);
  auto message = [](const DualChunkRule& rule, const ModelConfig& config) {
    return error_message([&] { rule.resolve(config); });
  };
  EXPECT_EQ(message({.pretraining_length = 15}, llama),
            "`pretraining_length`: 15 is out of range; use 16 to 1099511627776");
  EXPECT_EQ(message({.pretraining_length = int64_t{1} << 62}, llama),
            "`pretraining_length`: 4611686018427387904 is out of range; use 16 to 1099511627776");
  EXPECT_EQ(message({.local_window = 48}, llama),
            "`dca_local_window`: 48 leaves no chunk of the 48 tokens that are 3/4 of the pretraining length 64; use 1 "
            "to 47");
  EXPECT_EQ(message({.magnitude_length = 96}, testing::config_with_positions(Family::kQwen3, 64)),
            "`dca_mscale`: is for Llama, the model is qwen3; leave it out");
}

}  // namespace
}  // namespace hici::config
