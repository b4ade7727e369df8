// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/attention_heads.h"

#include "support/gradcheck.h"

#include <cmath>

namespace hici::ops {
namespace {

constexpr int64_t kTokens = 6;

RotaryTables small_tables(int64_t first = 0) {
  return make_rotary_tables({1.0, 0.1}, 1.0, first, kTokens, at::kDouble, at::kCPU);
}

TEST(AttentionHeadsTest, RotatesPairsOfTheTwoHalves) {
  at::manual_seed(1);
  const at::Tensor x = testing::randn64({1, kTokens, 2, 4});
  const at::Tensor y = prepare_qkv({x, x, x}, small_tables(7), kTokens).q_GSHD;
  for (int64_t t = 0; t < kTokens; ++t) {
    const double angle = 0.1 * static_cast<double>(7 + t);
    const double a = x[0][t][1][1].item<double>(), b = x[0][t][1][3].item<double>();
    EXPECT_NEAR(y[0][t][1][1].item<double>(), a * std::cos(angle) - b * std::sin(angle), 1e-12);
    EXPECT_NEAR(y[0][t][1][3].item<double>(), b * std::cos(angle) + a * std::sin(angle), 1e-12);
  }
}

// Segments of 3 out of two sequences of 6: the second segment of each goes on at position 3.
TEST(AttentionHeadsTest, PutsSlotsInFrontAndCountsPositionsThroughTheSequence) {
  at::manual_seed(2);
  const at::Tensor q = testing::randn64({2, kTokens, 4, 4}), k = testing::randn64({2, kTokens, 2, 4});
  const at::Tensor v = testing::randn64({2, kTokens, 2, 4}), slot_k = testing::randn64({4, 2, 2, 4});
  const at::Tensor slot_v = testing::randn64({4, 2, 2, 4});
  const AttentionHeads whole = prepare_qkv({q, k, v}, small_tables(), kTokens);
  const AttentionHeads cut = prepare_qkv({q, k, v, slot_k, slot_v}, small_tables(), 3);
  EXPECT_TRUE(at::equal(cut.q_GSHD.view_as(whole.q_GSHD), whole.q_GSHD));
  EXPECT_TRUE(at::equal(cut.k_GKJD.narrow(1, 0, 2), slot_k));
  EXPECT_TRUE(at::equal(cut.v_GKJD.narrow(1, 0, 2), slot_v));
  EXPECT_TRUE(at::equal(cut.k_GKJD.narrow(1, 2, 3).reshape_as(whole.k_GKJD), whole.k_GKJD));
  EXPECT_TRUE(at::equal(cut.v_GKJD.narrow(1, 2, 3).reshape_as(v), v));
}

TEST(AttentionHeadsTest, BackwardMatchesCentralDifferences) {
  at::manual_seed(3);
  auto all_heads = [](const std::vector<at::Tensor>& in) {
    const QkvProjections projections{in[0], in[1], in[2], in[3], in[4], in[5], in[6], 1e-6};
    const AttentionHeads heads = prepare_qkv(projections, small_tables(), 3);
    return at::cat({heads.q_GSHD.flatten(), heads.k_GKJD.flatten(), heads.v_GKJD.flatten()});
  };
  testing::check_gradients(all_heads, {testing::randn64({1, kTokens, 2, 4}), testing::randn64({1, kTokens, 1, 4}),
                                       testing::randn64({1, kTokens, 1, 4}), testing::randn64({2, 2, 1, 4}),
                                       testing::randn64({2, 2, 1, 4}), testing::randn64({4}), testing::randn64({4})});
}

// float32 angles of positions in the millions are off by a tenth of a radian; the tables are made in float64.
TEST(RotaryTest, TablesKeepTheirPrecisionAtLargePositions) {
  const RotaryTables tables = make_rotary_tables({1.0}, 1.0, 10'000'019, 1, at::kFloat, at::kCPU);
  EXPECT_NEAR(tables.cos.item<float>(), std::cos(10'000'019.0), 1e-6);
}

}  // namespace
}  // namespace hici::ops
