// SPDX-License-Identifier: Apache-2.0
// Expected values: data/rope_transformers.json, written by make_rope_expected.py from transformers' own functions (a
// ctest of the same name as that script checks that the file still says what transformers says).
#include "hici/config/rope.h"

#include "hici/base/json.h"
#include "support/error_message.h"
#include "support/tiny_config.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hici::config {
namespace {

TEST(RopeTest, EveryTypeMatchesTransformers) {
  const nlohmann::json cases = read_json_file(HICI_SOURCE_DIR "/tests/config/data/rope_transformers.json");
  ASSERT_GE(cases.size(), 11U);
  for (const auto& [name, expected] : cases.items()) {
    const ModelConfig config = parse_model_config(expected["config"], name);
    const auto wanted = expected["inverse_frequencies"].get<std::vector<double>>();
    const std::vector<double> got = rope_inverse_frequencies(config.rope, config.head_dim);
    ASSERT_EQ(got.size(), wanted.size()) << name;
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i] / wanted[i], 1, 1e-12) << name << " " << i;
    EXPECT_NEAR(rope_attention_scale(config.rope), expected["attention_scale"].get<double>(), 1e-12) << name;
  }
}

TEST(RopeTest, TheContextFactorDividesEveryFrequency) {
  RopeConfig rope;
  rope.type = RopeType::kYarn;
  rope.factor = 4;
  rope.original_max_position_embeddings = 32768;
  const std::vector<double> before = rope_inverse_frequencies(rope, 64);
  rope.context_factor = 1.5;
  const std::vector<double> after = rope_inverse_frequencies(rope, 64);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_DOUBLE_EQ(after[i], before[i] / 1.5);
}

TEST(ContextExtensionTest, LlamaRoundsUpAndQwen3TakesTheRatio) {
  EXPECT_EQ(context_extension_factor(testing::config_with_positions(Family::kLlama, 4096), 32768), 8);
  EXPECT_EQ(context_extension_factor(testing::config_with_positions(Family::kLlama, 64), 96), 2);
  EXPECT_EQ(context_extension_factor(testing::config_with_positions(Family::kQwen3, 64), 96), 1.5);
  EXPECT_EQ(context_extension_factor(testing::config_with_positions(Family::kQwen3, 40960), 49152), 1.2);
}

TEST(ContextExtensionTest, AContextThatFitsNeedsNoFactor) {
  EXPECT_EQ(context_extension_factor(testing::config_with_positions(Family::kLlama, 4096), 4096), 1);
  EXPECT_EQ(context_extension_factor(testing::config_with_positions(Family::kQwen3, 40960), 8192), 1);
  EXPECT_ERROR_SAYS(context_extension_factor(testing::config_with_positions(Family::kLlama, 4096), 0),
                    "context of 0 tokens");
}

TEST(ContextExtensionTest, ALinearScalingThatIsThereCounts) {
  ModelConfig config = testing::config_with_positions(Family::kLlama, 4096);
  config.rope.type = RopeType::kLinear;
  config.rope.factor = 4;
  EXPECT_EQ(context_extension_factor(config, 16384), 1);
  EXPECT_EQ(context_extension_factor(config, 32768), 2);  // 8 in all
  EXPECT_EQ(context_extension_factor(config, 17000), 5.0 / 4);
}

// Both factors are within bounds; their product is beyond 64 bits, which used to be undefined.
TEST(RopeContextTest, AbsurdFactorsAreBounded) {
  ModelConfig config = testing::config_with_positions(Family::kLlama, 4096);
  EXPECT_EQ(rope_context(config), 4096);
  config.rope.context_factor = 2.5;
  EXPECT_EQ(rope_context(config), 10240);
  config.rope.type = RopeType::kLinear;
  config.rope.factor = config.rope.context_factor = 1e9;
  EXPECT_EQ(rope_context(config), int64_t{1} << 40);
}

TEST(ContextExtensionTest, YarnAndLlama3CoverWhatTheyPromise) {
  ModelConfig yarn = testing::config_with_positions(Family::kQwen3, 40960);
  yarn.rope.type = RopeType::kYarn;
  yarn.rope.factor = 4;
  yarn.rope.original_max_position_embeddings = 32768;
  EXPECT_EQ(context_extension_factor(yarn, 131072), 1);
  EXPECT_EQ(context_extension_factor(yarn, 196608), 1.5);
  ModelConfig llama3 = testing::config_with_positions(Family::kLlama, 131072);
  llama3.rope.type = RopeType::kLlama3;
  llama3.rope.factor = 8;
  llama3.rope.original_max_position_embeddings = 8192;
  EXPECT_EQ(context_extension_factor(llama3, 131072), 1);
  EXPECT_EQ(context_extension_factor(llama3, 262144), 2);
}

}  // namespace
}  // namespace hici::config
