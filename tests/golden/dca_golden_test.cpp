// SPDX-License-Identifier: Apache-2.0
// Dual Chunk Attention of whole tiny base models against dual_chunk_attention() of the reference: perplexities, and
// logits of prompts and of tokens behind them over a cache.
#include "hici/base/json.h"
#include "hici/eval/perplexity.h"
#include "hici/generate/decode_session.h"
#include "hici/io/load_model.h"
#include "hici/nn/cached_forward.h"
#include "golden/golden_names.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace hici {
namespace {

class GoldenDcaTest : public ::testing::TestWithParam<const char*> {
 protected:
  GoldenDcaTest()
      : folder_(std::filesystem::path(HICI_GOLDEN_DIR) / "models" / GetParam()),
        cases_(read_json_file(folder_ / "dca.json")) {}

  io::LoadedModel load(at::ScalarType type) const {
    io::ModelRequest request;
    request.base = folder_ / "base";
    request.dtype = type;
    return io::load_model(request);
  }

  static config::DualChunk sizes_of(const nlohmann::json& expected, const config::ModelConfig& config) {
    const nlohmann::json& sizes = expected["sizes"];
    const config::DualChunkRule rule{sizes["pretraining_length"], sizes["local_window"],
                                     sizes["mscale"].get<bool>() ? 96 : 0};
    const config::DualChunk dual_chunk = rule.resolve(config);
    EXPECT_DOUBLE_EQ(dual_chunk.magnitude, expected["magnitude"].get<double>());
    return dual_chunk;
  }

  std::filesystem::path folder_;
  nlohmann::json cases_;
};

TEST_P(GoldenDcaTest, PerplexityMatchesTheReference) {
  const io::LoadedModel loaded = load(at::kFloat);
  const nlohmann::json golden = read_json_file(folder_ / "expected.json");
  const auto tokens = data::TokenFile::open(folder_ / "tokens.bin", {.vocab_size = loaded.model->config().vocab_size});
  ASSERT_GE(cases_.size(), 3U);
  for (const nlohmann::json& expected : cases_) {
    SCOPED_TRACE(expected["sizes"].dump());
    eval::PerplexityOptions options;
    options.seq_len = 96;
    options.stride = golden["sliding_window"];
    options.limit_tokens = golden["eval_tokens"];
    options.batch_size = 5;
    options.forward.attention = nn::AttentionKind::kDca;
    options.forward.dual_chunk = sizes_of(expected, loaded.model->config());
    const eval::PerplexityResult got = eval::evaluate_perplexity(*loaded.model, tokens, options);
    // float32 against float64, as for the other kinds of attention
    EXPECT_NEAR(got.perplexity / expected["perplexity"].get<double>(), 1.0, 1e-5);
    EXPECT_NEAR(got.accuracy, expected["accuracy"].get<double>(),
                2.0 / static_cast<double>(got.predicted_tokens) + 1e-12);  // near ties
  }
}

TEST_P(GoldenDcaTest, LogitsOfPromptAndOfEveryTokenBehindItMatchTheReference) {
  const at::NoGradGuard no_grad;
  constexpr double kTolerance = 1e-9;  // float64 on both sides; sums in other orders
  const io::LoadedModel loaded = load(at::kDouble);
  for (const nlohmann::json& expected : cases_) {
    const auto prompt = expected["prompt"].get<std::vector<int64_t>>();
    const auto forced = expected["forced"].get<std::vector<int64_t>>();
    for (const int64_t chunk : {2048, 10, 1}) {
      SCOPED_TRACE(expected["sizes"].dump() + ", prefilled in chunks of " + std::to_string(chunk));
      const config::DualChunk sizes = sizes_of(expected, loaded.model->config());
      generate::DecodeSession session(*loaded.model, {.batch = 1, .capacity = 64, .dual_chunk = sizes});
      auto expect_logits = [&](size_t row) {
        const at::Tensor wanted = at::tensor(expected["logits"][row].get<std::vector<double>>(), at::kDouble);
        EXPECT_LT((session.logits_BV()[0] - wanted).abs().max().item<double>(), kTolerance) << "row " << row;
      };
      nn::PrefillOptions options;
      options.attention = nn::AttentionKind::kDca;
      options.chunk = chunk;
      const at::Tensor tokens = at::tensor(prompt, at::kLong).unsqueeze(0);
      session.set_logits(0, nn::prefill(*loaded.model, tokens, session.cache(), options));
      expect_logits(0);
      session.positions_B().fill_(static_cast<int64_t>(prompt.size()));
      for (size_t i = 0; i < forced.size(); ++i) {
        session.tokens_B().fill_(forced[i]);
        session.advance();
        expect_logits(i + 1);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenDcaTest, ::testing::Values("llama-mha", "llama-gqa", "qwen3-gqa"),
                         name_with_underscores);

}  // namespace
}  // namespace hici
