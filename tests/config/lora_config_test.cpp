// SPDX-License-Identifier: Apache-2.0
#include "hici/config/lora_config.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hici::config {
namespace {

const std::string kQuery = "model.layers.1.self_attn.q_proj", kUp = "model.layers.0.mlp.up_proj";

TEST(LoraConfigTest, TargetsAreEndsOfNames) {
  LoraConfig lora{.targets = {"q_proj", "layers.0.mlp.up_proj"}};
  EXPECT_TRUE(lora.adapts(kQuery));
  EXPECT_TRUE(lora.adapts(kUp));
  EXPECT_TRUE(lora.adapts("model.layers.0.self_attn.local_constructor.q_proj"));
  EXPECT_FALSE(lora.adapts("model.layers.1.mlp.up_proj"));
  EXPECT_FALSE(lora.adapts("model.layers.1.self_attn.xq_proj"));
  EXPECT_FALSE(lora.module("model.layers.1.self_attn.k_proj"));
  lora.modules = {kUp};  // what an adapter's files have goes before that
  EXPECT_FALSE(lora.adapts(kQuery));
  lora.modules.emplace();
  EXPECT_FALSE(lora.adapts(kUp));
}

TEST(LoraConfigTest, EachModuleHasItsRankAlphaAndScale) {
  LoraConfig lora{.rank = 4, .alpha = 8};
  EXPECT_TRUE(lora.is_uniform());
  lora.rank_pattern.add("layers\\.1\\.self_attn\\.q_proj", 16, "x");
  lora.rank_pattern.add("q_proj", 2, "x");  // the first that matches counts
  lora.alpha_pattern.add("^model.layers.1", 1, "x");
  lora.alpha_pattern.add(".*self_attn.*", 32, "x");
  EXPECT_EQ(lora.module(kQuery), (LoraModule{.rank = 16, .alpha = 32, .scale = 2}));
  EXPECT_EQ(lora.shape_of("model.layers.0.self_attn.q_proj").rank, 2);
  EXPECT_EQ(lora.shape_of(kUp), (LoraModule{.rank = 4, .alpha = 8, .scale = 2}));
  EXPECT_EQ(lora.largest_rank(), 16);
  EXPECT_FALSE(lora.is_uniform());
  lora.use_rslora = true;
  EXPECT_EQ(lora.shape_of(kQuery).scale, 8);
  EXPECT_EQ(lora.scale(), 4);
}

TEST(LoraConfigTest, PatternsOfRanksRoundTrip) {
  const auto round_trip = [](const std::string& text) { return rank_pattern_text(parse_rank_pattern(text, "x")); };
  for (const char* text : {"", "q_proj=16", "q_proj=16,layers.0.self_attn.v_proj=4", R"({"a{1,2}":3})"})
    EXPECT_EQ(round_trip(text), text);
  EXPECT_EQ(round_trip(R"({"z": 3, "a": 4})"), "z=3,a=4");  // in the order that was typed
  for (const char* text : {"q_proj", "q_proj=", "=4", "q_proj=0", "q_proj=4.5", "q_proj=99999999", ",", "a=1,,b=2"})
    EXPECT_ERROR_SAYS(parse_rank_pattern(text, "--x"), "--x: '");
  EXPECT_ERROR_SAYS(parse_rank_pattern(R"({"q": "4"})", "--x"), "--x: q is \"4\", expected a whole number");
  EXPECT_ERROR_SAYS(parse_rank_pattern("(?=a)=4", "--x"), "--x: the regular expression '");
}

}  // namespace
}  // namespace hici::config
