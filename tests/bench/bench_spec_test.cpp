// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/bench_spec.h"

#include "hici/bench/machine.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::bench {
namespace {

// What the model cards and transformers say of these models.
TEST(BenchSpecTest, PresetsHaveTheParametersOfTheRealModels) {
  auto parameters = [](const char* name) { return find_bench_model(name, "`model`").config.num_parameters(); };
  EXPECT_EQ(parameters("llama2-7b"), 6738415616);
  EXPECT_EQ(parameters("llama2-13b"), 13015864320);
  EXPECT_EQ(parameters("llama2-70b"), 68976648192);
  EXPECT_EQ(parameters("llama3-70b"), 70553706496);
  EXPECT_EQ(parameters("qwen3-32b"), 32762123264);
  EXPECT_EQ(parameters("llama3-8b"), 8030261248);
  EXPECT_EQ(parameters("qwen3-8b"), 8190735360);
}

TEST(BenchSpecTest, PresetsAreValidAndTheirHierarchyFits) {
  for (const std::string& name : preset_names()) {
    const BenchModel model = find_bench_model(name, "`model`");
    EXPECT_NO_THROW(model.config.validate(name));
    EXPECT_NO_THROW(model.hici.validate(model.config.hidden_size));
  }
}

TEST(BenchSpecTest, TakesTheNamesOfTheResearchScripts) {
  EXPECT_EQ(parse_attention("full_attn", "`methods`"), nn::AttentionKind::kFull);
  EXPECT_EQ(parse_attention("longlora", "`methods`"), nn::AttentionKind::kS2);
  EXPECT_EQ(parse_attention("hici", "`methods`"), nn::AttentionKind::kHici);
  EXPECT_EQ(parse_attention("segments", "`methods`"), nn::AttentionKind::kSegments);
  EXPECT_ERROR_SAYS(parse_attention("flash", "`attention`"), "`attention`: unknown attention 'flash'; use hici");
}

TEST(BenchSpecTest, NamesThePresetsWhenAModelIsNotFound) {
  EXPECT_ERROR_SAYS(find_bench_model("llama4", "`model`"), "the presets are llama2-7b, ");
}

TEST(BenchSpecTest, RefusesLengthsThatSegmentsDoNotDivide) {
  BenchSpec spec;
  spec.model = find_bench_model("quickstart", "`model`");
  spec.lengths = {256, 258};
  spec.attentions = {parse_attention("full", "")};
  EXPECT_NO_THROW(spec.validate());
  spec.attentions.push_back(parse_attention("segments", ""));
  EXPECT_ERROR_SAYS(spec.validate(), "`num_segments`: 4 does not divide `seq_len` 258");
}

TEST(BenchSpecTest, RefusesANegativePause) {
  BenchSpec spec;
  spec.model = find_bench_model("quickstart", "`model`");
  spec.pause_ms = -1;
  EXPECT_ERROR_SAYS(spec.validate(), "`pause_ms`: -1 is negative; use 0 or more");
}

TEST(SpreadTest, TakesTheMedianBetweenTheEnds) {
  const Spread odd = spread_of({3, 1, 10});
  EXPECT_EQ(odd.median, 3);
  EXPECT_EQ(odd.min, 1);
  EXPECT_EQ(odd.max, 10);
  EXPECT_EQ(spread_of({4, 1, 10, 2}).median, 3);
}

}  // namespace
}  // namespace hici::bench
