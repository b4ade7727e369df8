// SPDX-License-Identifier: Apache-2.0
// What the kinds of attention are to each other. Against the reference: tests/golden/layer_golden_test.cpp.
#include "hici/nn/causal_lm.h"
#include "support/error_message.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace hici::nn {
namespace {

constexpr int64_t kSegmentTokens = 4, kLength = 12;
constexpr double kTolerance = 1e-12;  // some thousand roundings of float64

CausalLm random_model() {
  CausalLm model(
      testing::tiny_config({.vocabulary = 32, .hidden = 16, .layers = 2, .heads = 4, .kv_heads = 2, .positions = 64}),
      {at::kDouble});
  at::manual_seed(1);
  model.visit_parameters([](const std::string&, at::Tensor& t) { t = at::randn(t.sizes(), at::kDouble) * 0.3; });
  return model;
}

at::Tensor tokens() { return at::arange(2 * kLength, at::kLong).view({2, kLength}); }

ForwardOptions options(AttentionKind kind, int64_t segment_length = 0) {
  ForwardOptions out;
  out.attention = kind;
  out.segment_length = segment_length;
  return out;
}

bool is_close(const at::Tensor& a, const at::Tensor& b) { return at::allclose(a, b, kTolerance, kTolerance); }

TEST(AttentionTest, SegmentsAreFullAttentionOfEachAlone) {
  const CausalLm model = random_model();
  const at::Tensor together = model.forward_hidden(tokens(), options(AttentionKind::kSegments, kSegmentTokens));
  for (int64_t begin = 0; begin < kLength; begin += kSegmentTokens) {
    const at::Tensor alone =
        model.forward_hidden(tokens().narrow(1, begin, kSegmentTokens), options(AttentionKind::kFull));
    EXPECT_TRUE(is_close(together.narrow(1, begin, kSegmentTokens), alone)) << begin;
  }
}

TEST(AttentionTest, OneSegmentIsFullAttention) {
  const CausalLm model = random_model();
  const at::Tensor full = model.forward_hidden(tokens(), options(AttentionKind::kFull));
  EXPECT_TRUE(at::equal(model.forward_hidden(tokens(), options(AttentionKind::kSegments)), full));
  EXPECT_TRUE(at::equal(model.forward_hidden(tokens(), options(AttentionKind::kSegments, kLength)), full));
}

TEST(AttentionTest, AModelWithoutAHierarchyStreamsSegments) {
  const CausalLm model = random_model();
  const at::Tensor whole = model.forward_hidden(tokens(), options(AttentionKind::kSegments, kSegmentTokens));
  ModelState state = model.empty_state(2);
  for (int64_t i = 0; i < kLength / kSegmentTokens; ++i) {
    const Segment segment{tokens().narrow(1, i * kSegmentTokens, kSegmentTokens), i, {}, model.rotary_frequencies()};
    SegmentHidden out = model.forward_segment(segment, state);
    EXPECT_TRUE(is_close(out.hidden_BSC, whole.narrow(1, i * kSegmentTokens, kSegmentTokens))) << i;
    state = std::move(out.after);
  }
}

TEST(AttentionTest, HiciNeedsAHierarchy) {
  const CausalLm model = random_model();
  EXPECT_ERROR_SAYS(model.forward_hidden(tokens(), options(AttentionKind::kHici, kSegmentTokens)),
                    "a layer without a hierarchy");
}

}  // namespace
}  // namespace hici::nn
