// SPDX-License-Identifier: Apache-2.0
// Shares of attention and maps of a segment against the softmax of the reference, in float64.
#include "hici/base/json.h"
#include "hici/eval/attention_shares.h"
#include "hici/io/load_model.h"
#include "hici/io/opened_model.h"
#include "golden/golden_names.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace hici {
namespace {

constexpr double kTolerance = 1e-9;  // float64 on both sides; sums in other orders
constexpr int64_t kSegments = 4;

std::optional<int64_t> head_of(const nlohmann::json& map) {
  if (map["head"].is_null()) return std::nullopt;
  return map["head"].get<int64_t>();
}

class GoldenAttentionTest : public ::testing::TestWithParam<const char*> {
 protected:
  GoldenAttentionTest()
      : folder_(std::filesystem::path(HICI_GOLDEN_DIR) / "models" / GetParam()),
        expected_(read_json_file(folder_ / "attention.json")) {}

  io::LoadedModel load(const std::string& mode) const {
    const nlohmann::json model = read_json_file(folder_ / "expected.json");
    io::ModelRequest request;
    request.base = folder_ / "base";
    request.adapter = folder_ / "adapter";
    request.dtype = at::kDouble;
    request.context_size = model["context_size"];
    const io::OpenedModel opened = io::open_model(request);
    config::HiciConfig hici = opened.stored_hici();
    hici.num_heads = model["hici"]["num_heads"];
    hici.causal_mode = parse_enum<config::CausalMode>(mode, "mode");
    return io::build_model(request, opened, hici);
  }

  at::Tensor tokens_BT() const {
    const auto rows = expected_["tokens"].get<std::vector<std::vector<int64_t>>>();
    return at::stack({at::tensor(rows[0], at::kLong), at::tensor(rows[1], at::kLong)});
  }

  // What an observer of one forward has seen.
  eval::AttentionShares seen(const io::LoadedModel& loaded, const nlohmann::json& c, const nlohmann::json& map,
                             ops::AttentionBackend backend, int64_t block) const {
    const at::Tensor tokens = tokens_BT();
    const auto valid = c["valid"].get<std::vector<int64_t>>();
    nn::ForwardOptions forward;
    forward.attention = nn::AttentionKind::kHici;
    forward.segment_length = tokens.size(1) / kSegments;
    forward.backend = backend;
    if (valid[1] < tokens.size(1)) forward.valid_BT = at::arange(tokens.size(1)) < at::tensor(valid).unsqueeze(1);
    const config::ModelConfig& config = loaded.model->config();
    eval::AttentionShares shares(
        config.num_hidden_layers, config.num_attention_heads,
        eval::MapPlace{map["layer"], map["sequence"], map["segment"], head_of(map), expected_["max_blocks"]}, block);
    forward.observer = &shares;
    loaded.model->forward_hidden(tokens, forward);
    return shares;
  }

  std::filesystem::path folder_;
  nlohmann::json expected_;
};

void expect_shares(const eval::AttentionShares& got, const nlohmann::json& c) {
  const auto valid = c["valid"].get<std::vector<int64_t>>();
  ASSERT_EQ(got.num_queries(), valid[0] + valid[1]);
  const at::Tensor means_LHX = got.sums_LHX() / static_cast<double>(got.num_queries());
  EXPECT_LT((means_LHX.sum(2) - 1).abs().max().item<double>(), kTolerance);
  ASSERT_EQ(static_cast<int64_t>(c["shares"].size()), means_LHX.size(0));
  for (size_t l = 0; l < c["shares"].size(); ++l) {
    for (size_t h = 0; h < c["shares"][l].size(); ++h) {
      for (size_t x = 0; x < 3; ++x) {
        const at::Tensor mean = means_LHX[static_cast<int64_t>(l)][static_cast<int64_t>(h)][static_cast<int64_t>(x)];
        EXPECT_NEAR(mean.item<double>(), c["shares"][l][h][x].get<double>(), kTolerance) << l << " " << h << " " << x;
      }
    }
  }
}

void expect_map(const eval::AttentionShares& got, const nlohmann::json& map) {
  ASSERT_TRUE(got.map());
  const auto rows = map["rows"].get<std::vector<std::vector<double>>>();
  ASSERT_EQ(got.map()->rows.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(got.map()->rows[i].size(), rows[i].size());
    double sum = 0;
    for (size_t k = 0; k < rows[i].size(); ++k) {
      EXPECT_NEAR(got.map()->rows[i][k], rows[i][k], kTolerance) << i << " " << k;
      sum += got.map()->rows[i][k];
    }
    EXPECT_NEAR(sum, 1, kTolerance);
  }
}

// Every causal mode, with and without padding. Slots stand in front of the keys (math) or beside them (flash); blocks
// do not divide a segment of 24, or hold all of it.
TEST_P(GoldenAttentionTest, SharesAndMapsMatchTheSoftmaxOfTheReference) {
  const at::NoGradGuard no_grad;
  ASSERT_EQ(expected_["cases"].size(), 10U);
  for (const nlohmann::json& c : expected_["cases"]) {
    SCOPED_TRACE(::testing::Message() << c["mode"] << " " << c["valid"]);
    const io::LoadedModel loaded = load(c["mode"]);
    const eval::AttentionShares in_blocks = seen(loaded, c, c["maps"][0], ops::AttentionBackend::kMath, 7);
    expect_shares(in_blocks, c);
    expect_map(in_blocks, c["maps"][0]);
    const eval::AttentionShares whole = seen(loaded, c, c["maps"][1], ops::AttentionBackend::kFlash, 512);
    expect_shares(whole, c);
    expect_map(whole, c["maps"][1]);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenAttentionTest, ::testing::Values("llama-mha", "llama-gqa", "qwen3-gqa"),
                         name_with_underscores);

}  // namespace
}  // namespace hici
