// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/memory_table.h"

#include "hici/base/error.h"
#include "hici/base/text_table.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::bench {
namespace {

constexpr int64_t kGib = int64_t{1} << 30;

MemoryTableSpec spec_of(const std::string& model, int64_t gib, std::vector<int64_t> lengths) {
  MemoryTableSpec spec;
  spec.model = find_bench_model(model, "`model`");
  spec.attention = parse_attention("hici", "`attention`");
  spec.lengths = std::move(lengths);
  spec.memory_bytes = gib * kGib;
  return spec;
}

TEST(MemoryTableTest, AllGroupsAddUpToTheTotalAndTheTextShowsEveryRow) {
  const MemoryTable table = make_memory_table(spec_of("quickstart", 4, {1024, 4096}));
  ASSERT_EQ(table.json["rows"].size(), 2u);
  for (const auto& row : table.json["rows"]) {
    int64_t sum = 0;
    for (const char* key : {"weights", "optimizer", "gradients", "activations", "layer_at_work", "loss", "other"})
      sum += row[key].get<int64_t>();
    EXPECT_EQ(row["total"], sum);
    EXPECT_EQ(row["policies"], "keep");
    EXPECT_TRUE(row["fits"]);
    EXPECT_NE(table.text.find(detail::concat("\n", row["model_max_length"].get<int64_t>(), " ")), std::string::npos);
  }
}

// Two bytes for each of the model's own parameters and of what HiCI and LoRA add; three numbers in float32 for each
// that is trained.
TEST(MemoryTableTest, WeightsAndOptimizerFollowFromTheCountsOfParameters) {
  const MemoryTable table = make_memory_table(spec_of("llama2-7b", 141, {8192}));
  const int64_t all = table.json["parameters"], trained = table.json["trained_parameters"];
  EXPECT_GT(all, 6738415616);  // Llama-2-7B
  EXPECT_EQ(table.json["rows"][0]["weights"], 2 * all);
  EXPECT_EQ(table.json["rows"][0]["optimizer"], 12 * trained);
}

// Both orders of a matrix in 8 bits are as many bytes as one in bfloat16.
TEST(MemoryTableTest, EightBitsSaveNothingInTrainingAndTheTextSaysWhy) {
  MemoryTableSpec spec = spec_of("llama2-7b", 141, {8192});
  const MemoryTable wide = make_memory_table(spec);
  spec.base_format = config::BaseFormat::kFp8;
  const MemoryTable narrow = make_memory_table(spec);
  EXPECT_EQ(narrow.json["rows"][0]["weights"], wide.json["rows"][0]["weights"]);
  EXPECT_NE(narrow.text.find("2 bytes a weight, as in bfloat16; "), std::string::npos) << narrow.text;
  EXPECT_EQ(wide.text.find("8 bits"), std::string::npos) << wide.text;
  spec.dtype = at::kFloat;
  EXPECT_NE(make_memory_table(spec).text.find("2 bytes a weight, half of float32; "), std::string::npos);
}

TEST(MemoryTableTest, LongerContextsGoFromKeepToRecomputationToOffloadingToNothingThatFits) {
  const MemoryTable table = make_memory_table(spec_of("llama2-7b", 80, {8192, 65536, 131072, 4194304}));
  const auto& rows = table.json["rows"];
  double share = -1;
  for (const auto& row : rows) {
    EXPECT_GE(row["recomputed_share"].get<double>(), share);
    share = row["recomputed_share"];
  }
  EXPECT_FALSE(rows[3]["fits"]);
  EXPECT_EQ(rows[3]["policies"], "offload");
  EXPECT_NE(table.text.find("4194304 does not fit: "), std::string::npos) << table.text;
  EXPECT_NE(table.text.find("\n`stream_segments` True `causal_mode` causal_gi `num_chunks` "), std::string::npos)
      << table.text;
  EXPECT_NE(table.text.find("\n`model_max_length` "), std::string::npos) << table.text;
}

// "fits", the limit in the text and the column of totals say the same.
TEST(MemoryTableTest, ARowFitsWhereItsTotalIsWithinTheLimit) {
  MemoryTableSpec spec = spec_of("llama2-7b", 80, {8192, 16384, 32768, 65536});
  spec.policy = nn::ActivationPolicy::kKeep;
  for (const bool on_gpu : {true, false}) {
    spec.on_gpu = on_gpu;
    const MemoryTable table = make_memory_table(spec);
    const int64_t limit = table.json["limit"];
    EXPECT_LT(limit, 80 * kGib);
    EXPECT_NE(table.text.find(detail::concat("may be up to ", fixed_digits(static_cast<double>(limit) / kGib, 2), ";")),
              std::string::npos)
        << table.text;
    for (const auto& row : table.json["rows"]) EXPECT_EQ(row["fits"], row["total"].get<int64_t>() <= limit) << row;
    for (const auto& row : table.json["rows"]) {
      if (!row.contains("what_fits")) continue;
      EXPECT_FALSE(row["what_fits"].empty());
      for (const auto& change : row["what_fits"]) EXPECT_LE(change["total"].get<int64_t>(), limit) << change;
    }
  }
}

TEST(MemoryTableTest, ASegmentLengthIsAsManySegments) {
  MemoryTableSpec by_length = spec_of("quickstart", 4, {1024}), by_number = by_length;
  by_length.segment_length = 128;
  by_number.model.hici.num_segments = 8;
  by_length.validate();
  EXPECT_EQ(make_memory_table(by_length).json["rows"], make_memory_table(by_number).json["rows"]);
  by_length.segment_length = 100;
  EXPECT_NE(testing::error_message([&] { by_length.validate(); }).find("`segment_length`: 100 does not divide"),
            std::string::npos);
}

TEST(MemoryTableTest, WhatFitsIsThereForStreamingAndItsMemoryDoesNotGrow) {
  MemoryTableSpec spec = spec_of("llama3-8b", 141, {131072, 4194304});
  spec.model.hici.causal_mode = config::CausalMode::kCausalGi;
  spec.stream_segments = true;
  spec.policy = nn::ActivationPolicy::kRecompute;
  spec.model.hici.num_segments = 16;
  const auto short_row = make_memory_table(spec).json["rows"][0];
  spec.model.hici.num_segments = 512;
  const auto long_row = make_memory_table(spec).json["rows"][1];  // the same 8192 tokens in a segment
  // But for tokens and labels: 16 bytes each.
  EXPECT_EQ(long_row["total"].get<int64_t>() - short_row["total"].get<int64_t>(), 16 * (4194304 - 131072));
  EXPECT_GT(long_row["host"], short_row["host"]);
}

TEST(MemoryTableTest, WhatCannotBePlannedIsAUsageErrorThatNamesTheOption) {
  MemoryTableSpec spec = spec_of("quickstart", 4, {1022});
  EXPECT_NE(testing::error_message([&] { spec.validate(); }).find("`num_segments`: 4"), std::string::npos);
  spec = spec_of("quickstart", 0, {1024});
  EXPECT_NE(testing::error_message([&] { spec.validate(); }).find("`memory`"), std::string::npos);
  spec = spec_of("quickstart", 4, {1024});
  spec.stream_segments = true;
  spec.attention = parse_attention("full", "`attention`");
  EXPECT_NE(testing::error_message([&] { spec.validate(); }).find("`stream_segments`"), std::string::npos);
}

}  // namespace
}  // namespace hici::bench
