// SPDX-License-Identifier: Apache-2.0
// Prefill and decoding over a cache against prefill_cache() and decode_attention() of the reference, in float64.
#include "hici/base/json.h"
#include "hici/generate/decode_session.h"
#include "hici/io/load_model.h"
#include "hici/io/opened_model.h"
#include "hici/nn/cached_forward.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <tuple>

namespace hici {
namespace {

struct Case {
  const char* name;
  nn::AttentionKind attention;
  bool cache_slots;
};

constexpr Case kCases[] = {{"full", nn::AttentionKind::kFull, false},
                           {"hici_slots", nn::AttentionKind::kHici, true},
                           {"hici_no_slots", nn::AttentionKind::kHici, false}};

class GoldenGenerationTest : public ::testing::TestWithParam<std::tuple<const char*, int64_t>> {
 protected:
  GoldenGenerationTest()
      : folder_(std::filesystem::path(HICI_GOLDEN_DIR) / "models" / std::get<0>(GetParam())),
        expected_(read_json_file(folder_ / "generation.json")) {}

  io::LoadedModel load(std::optional<config::CausalMode> mode = {}) const {
    const nlohmann::json model = read_json_file(folder_ / "expected.json");
    io::ModelRequest request;
    request.base = folder_ / "base";
    request.adapter = folder_ / "adapter";
    request.dtype = at::kDouble;
    request.context_size = model["context_size"];
    const io::OpenedModel opened = io::open_model(request);
    config::HiciConfig hici = opened.stored_hici();
    hici.num_heads = model["hici"]["num_heads"];
    hici.causal_mode = mode.value_or(config::default_causal_mode(opened.base.config().family));
    return io::build_model(request, opened, hici);
  }

  // Largest distance of the session's logits (one row) from the expected ones of a step.
  static double distance(const generate::DecodeSession& session, const nlohmann::json& row) {
    const at::Tensor expected = at::tensor(row.get<std::vector<double>>(), at::kDouble);
    return (session.logits_BV()[0] - expected).abs().max().item<double>();
  }

  std::filesystem::path folder_;
  nlohmann::json expected_;
};

TEST_P(GoldenGenerationTest, LogitsOfPromptAndOfEveryTokenBehindItMatchTheReference) {
  const at::NoGradGuard no_grad;
  constexpr double kTolerance = 1e-9;  // float64 on both sides; sums in other orders
  const io::LoadedModel loaded = load();
  const auto prompt = expected_["prompt"].get<std::vector<int64_t>>();
  const auto forced = expected_["forced"].get<std::vector<int64_t>>();
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const nlohmann::json& rows = expected_["logits"][c.name];
    const bool is_hici = c.attention == nn::AttentionKind::kHici;
    const int64_t slots = is_hici ? nn::num_prompt_slots(*loaded.model) : 0;
    EXPECT_EQ(slots > 0, is_hici);
    generate::DecodeSession session(
        *loaded.model, {.batch = 1, .capacity = 64, .num_slots = slots, .decode_uses_slots = c.cache_slots});
    nn::PrefillOptions options;
    options.attention = c.attention;
    options.chunk = std::get<1>(GetParam());
    const at::Tensor tokens = at::tensor(prompt, at::kLong).unsqueeze(0);
    session.set_logits(0, nn::prefill(*loaded.model, tokens, session.cache(), options));
    EXPECT_LT(distance(session, rows[0]), kTolerance) << "behind the prompt";
    session.positions_B().fill_(static_cast<int64_t>(prompt.size()));
    for (size_t i = 0; i < forced.size(); ++i) {
      session.tokens_B().fill_(forced[i]);
      session.advance();
      EXPECT_LT(distance(session, rows[i + 1]), kTolerance) << "behind token " << i;
    }
  }
}

// hici_attention() with one segment is what the golden layers compare with the reference in every mode.
TEST_P(GoldenGenerationTest, InEveryCausalModeThePromptGivesWhatTheForwardAsOneSegmentGives) {
  using config::CausalMode;
  const at::NoGradGuard no_grad;
  const at::Tensor tokens = at::tensor(expected_["prompt"].get<std::vector<int64_t>>(), at::kLong).unsqueeze(0);
  for (const CausalMode mode : {CausalMode::kNone, CausalMode::kCausalGi, CausalMode::kCausalShift,
                                CausalMode::kCausalShiftG, CausalMode::kCausalGiGonly}) {
    SCOPED_TRACE(name_of(mode));
    const io::LoadedModel loaded = load(mode);
    const bool is_shifted = mode == CausalMode::kCausalShift || mode == CausalMode::kCausalShiftG;
    EXPECT_EQ(nn::num_prompt_slots(*loaded.model) == 0, is_shifted);  // a first segment sees none
    generate::DecodeSession session(*loaded.model,
                                    {.batch = 1, .capacity = 64, .num_slots = nn::num_prompt_slots(*loaded.model)});
    nn::PrefillOptions options;
    options.attention = nn::AttentionKind::kHici;
    options.chunk = std::get<1>(GetParam());
    const at::Tensor got_1C = nn::prefill(*loaded.model, tokens, session.cache(), options);
    nn::ForwardOptions whole;
    whole.attention = nn::AttentionKind::kHici;
    whole.segment_length = tokens.size(1);
    const at::Tensor expected_1C = loaded.model->forward_hidden(tokens, whole).select(1, tokens.size(1) - 1);
    EXPECT_LT((got_1C - expected_1C).abs().max().item<double>(), 1e-9);  // float64, sums in other orders
  }
}

std::string name_with_chunk(const ::testing::TestParamInfo<std::tuple<const char*, int64_t>>& info) {
  std::string name = std::get<0>(info.param) + std::string("_chunk") + std::to_string(std::get<1>(info.param));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// The prompt has 37 tokens: one chunk, several with a short last one, and one token at a time.
INSTANTIATE_TEST_SUITE_P(Models, GoldenGenerationTest,
                         ::testing::Combine(::testing::Values("llama-mha", "llama-gqa", "qwen3-gqa"),
                                            ::testing::Values(2048, 10, 1)),
                         name_with_chunk);

}  // namespace
}  // namespace hici
