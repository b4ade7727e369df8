// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/adapter_dropout.h"

#include "hici/ops/lora_linear.h"
#include "support/gradcheck.h"

#include <cmath>
#include <cstring>

namespace hici::ops {
namespace {

using testing::randn64;

AdapterDropout dropout_of(double rate, int64_t rows, uint64_t key = 1) {
  return {rate, dropout_rows({key}, 0, rows, at::kCPU)};
}

// 1 where a channel is kept.
at::Tensor kept(const AdapterDropout& dropout, int64_t channels, uint64_t module_key = 2) {
  const at::Tensor ones = at::ones({dropout.rows_n.numel(), channels}, at::kDouble);
  drop_channels_(ones, dropout, module_key);
  return ones;
}

// SplitMix64 with plain numbers of 64 bits.
uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

TEST(AdapterDropoutTest, MasksAreThoseOfPlainNumbers) {
  constexpr uint64_t kStep = 0x9E3779B97F4A7C15;
  constexpr int64_t kFirst = 40, kRows = 5, kChannels = 7;
  const uint64_t module_key = dropout_key_of_name("model.layers.0.self_attn.q_proj");
  EXPECT_EQ(module_key, 0x4EC56D4394EEC1FBULL);
  const std::vector<uint64_t> sequences{3, 0xFFFFFFFFFFFFFFF0};
  const AdapterDropout dropout{0.4, dropout_rows(sequences, kFirst, kRows, at::kCPU)};
  const at::Tensor mask = kept(dropout, kChannels, module_key);
  for (int64_t row = 0; row < 2 * kRows; ++row) {
    const auto position = static_cast<uint64_t>(kFirst + row % kRows);
    const uint64_t of_row = mixed(sequences[static_cast<size_t>(row / kRows)] + position * kStep);
    for (int64_t channel = 0; channel < kChannels; ++channel) {
      const uint64_t bits = mixed(mixed(of_row ^ module_key) + static_cast<uint64_t>(channel / 2 + 1) * kStep);
      const auto half = static_cast<int32_t>(channel % 2 == 0 ? bits & 0xFFFFFFFF : bits >> 32);
      const bool is_kept = static_cast<double>(half) + std::ldexp(1, 31) >= 0.4 * std::ldexp(1, 32);
      EXPECT_EQ(mask[row][channel].item<double>(), is_kept ? 1 : 0) << row << " " << channel;
    }
  }
}

// Shares of 500,000 draws; five standard deviations.
TEST(AdapterDropoutTest, EachChannelIsDroppedWithTheRateAndAlone) {
  for (const double rate : {0.01, 0.05, 0.3, 0.5, 0.9}) {
    const at::Tensor drop = 1 - kept(dropout_of(rate, 500), 1000);
    const auto expect_share = [&](const at::Tensor& events, double share) {
      const auto count = static_cast<double>(events.numel());
      EXPECT_NEAR(events.mean().item<double>(), share, 5 * std::sqrt(share * (1 - share) / count)) << rate;
    };
    expect_share(drop, rate);
    const double both = rate * rate;
    for (const int64_t far : {1, 2, 7, 64}) {
      expect_share(drop.narrow(1, 0, 1000 - far) * drop.narrow(1, far, 1000 - far), both);
      expect_share(drop.narrow(0, 0, 500 - far) * drop.narrow(0, far, 500 - far), both);
    }
    expect_share(drop * (1 - kept(dropout_of(rate, 500), 1000, 3)), both);            // another adapter
    expect_share(drop * (1 - kept(dropout_of(rate, 500, 0x100000001), 1000)), both);  // another step or sequence
    // Of whole rows and columns: the spread of their counts is that of independent draws.
    const double variance = rate * (1 - rate);
    EXPECT_NEAR(drop.sum(1).var().item<double>() / (1000 * variance), 1, 5 * std::sqrt(2.0 / 500)) << rate;
    EXPECT_NEAR(drop.sum(0).var().item<double>() / (500 * variance), 1, 5 * std::sqrt(2.0 / 1000)) << rate;
  }
}

TEST(AdapterDropoutTest, KeysDifferInEveryNumber) {
  EXPECT_NE(dropout_key({1, 2}), dropout_key({2, 1}));
  EXPECT_NE(dropout_key({1}), dropout_key({1, 0}));
  EXPECT_NE(dropout_key({0}), dropout_key({1}));
  EXPECT_NE(dropout_key_of_name("k_proj"), dropout_key_of_name("v_proj"));
}

TEST(AdapterDropoutTest, ARowIsTheSameInWhicheverPieceItIs) {
  const at::Tensor whole = dropout_rows({7, 8}, 0, 6, at::kCPU);
  EXPECT_TRUE(whole.equal(at::cat(
      {dropout_rows({7}, 0, 6, at::kCPU), dropout_rows({8}, 0, 2, at::kCPU), dropout_rows({8}, 2, 4, at::kCPU)})));
  EXPECT_TRUE(kept({0.5, whole}, 9).narrow(0, 4, 3).equal(kept({0.5, whole.narrow(0, 4, 3)}, 9)));
}

// Three layers over one input: an adapter, none, and an adapter of another rank.
std::vector<LoraWeights> dropped_layers(const std::vector<at::Tensor>& in) {
  return {{in[1], in[2], in[3], 2.0, {}, {}, 11}, {in[4]}, {in[5], in[6], in[7], 0.5, {}, {}, 12}};
}

std::vector<at::Tensor> inputs_of_three_layers(int64_t batch = 2, int64_t tokens = 3, int64_t width = 5) {
  return {randn64({batch, tokens, width}),
          randn64({4, width}),
          randn64({2, width}),
          randn64({4, 2}),
          randn64({3, width}),
          randn64({6, width}),
          randn64({1, width}),
          randn64({6, 1})};
}

// The same with a mask that multiplies, as torch.nn.Dropout has it, and autograd.
std::vector<at::Tensor> plain(const std::vector<at::Tensor>& in, const AdapterDropout& dropout) {
  std::vector<at::Tensor> out;
  for (const LoraWeights& layer : dropped_layers(in)) {
    out.push_back(at::matmul(in[0], layer.weight.t()));
    if (!layer.a.defined()) continue;
    const at::Tensor mask = kept(dropout, in[0].size(-1), layer.dropout_key).view(in[0].sizes()) / (1 - dropout.rate);
    out.back() = out.back() + layer.scale * at::matmul(at::matmul(in[0] * mask, layer.a.t()), layer.b.t());
  }
  return out;
}

// Values and gradients of both.
void expect_as_plain(std::vector<at::Tensor> in, const AdapterDropout& dropout, const LinearLayout& layout = {}) {
  std::vector<std::vector<at::Tensor>> gradients;
  std::vector<at::Tensor> values;
  const at::Tensor direction = randn64({in[0].size(0), in[0].size(1), 13});
  for (const bool fused : {true, false}) {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& each : in) leaves.push_back(each.detach().requires_grad_());
    values.push_back(
        at::cat(fused ? lora_linears(leaves[0], dropped_layers(leaves), layout, dropout) : plain(leaves, dropout), -1));
    gradients.push_back(torch::autograd::grad({values.back()}, leaves, {direction}));
  }
  EXPECT_TRUE(at::allclose(values[0], values[1], 1e-10, 1e-10));
  for (size_t i = 0; i < in.size(); ++i) EXPECT_TRUE(at::allclose(gradients[0][i], gradients[1][i], 1e-9, 1e-9)) << i;
}

TEST(AdapterDropoutTest, GradientsAreThoseOfTheSameMask) {
  at::manual_seed(1);
  const AdapterDropout dropout = dropout_of(0.4, 6);
  testing::check_gradients(
      [&](const std::vector<at::Tensor>& in) {
        return at::cat(lora_linears(in[0], dropped_layers(in), {}, dropout), -1);
      },
      inputs_of_three_layers());
  expect_as_plain(inputs_of_three_layers(), dropout);
  // More rows than a small product has, and more than one piece of them.
  expect_as_plain(inputs_of_three_layers(2, 150), dropout_of(0.2, 300));
  expect_as_plain(inputs_of_three_layers(2, 1500, 2001), dropout_of(0.2, 3000));
}

TEST(AdapterDropoutTest, SegmentsWithRowsBetweenThemAreTheSame) {
  at::manual_seed(2);
  std::vector<at::Tensor> in = inputs_of_three_layers(3, 200);
  expect_as_plain(in, dropout_of(0.3, 600), {.segment_length = 200, .rows_before = {2, 0, 1}});
  in[0] = randn64({3, 204, 5}).narrow(1, 4, 200);
  expect_as_plain(in, dropout_of(0.3, 600));
}

TEST(AdapterDropoutTest, TheMeanOverMasksIsThatWithoutDropout) {
  at::manual_seed(3);
  constexpr int kMasks = 4000;
  const std::vector<at::Tensor> in = inputs_of_three_layers();
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& each : in) leaves.push_back(each.detach().requires_grad_());
  const at::Tensor direction = randn64({2, 3, 13});
  const auto results = [&](const AdapterDropout& dropout) {
    const at::Tensor y = at::cat(lora_linears(leaves[0], dropped_layers(leaves), {}, dropout), -1);
    std::vector<at::Tensor> out = torch::autograd::grad({y}, leaves, {direction});
    out.push_back(y.detach());
    return out;
  };
  const std::vector<at::Tensor> expected = results({});
  std::vector<at::Tensor> sum(expected.size()), squares(expected.size());
  for (int mask = 0; mask < kMasks; ++mask) {
    const std::vector<at::Tensor> one = results(dropout_of(0.3, 6, dropout_key({static_cast<uint64_t>(mask)})));
    for (size_t i = 0; i < one.size(); ++i) {
      sum[i] = sum[i].defined() ? sum[i] + one[i] : one[i];
      squares[i] = squares[i].defined() ? squares[i] + one[i].square() : one[i].square();
    }
  }
  for (size_t i = 0; i < sum.size(); ++i) {
    const at::Tensor mean = sum[i] / kMasks, deviation = (squares[i] / kMasks - mean.square()).clamp_min(0).sqrt();
    const at::Tensor bound = 5 * deviation / std::sqrt(static_cast<double>(kMasks)) + 1e-9;
    EXPECT_TRUE((mean - expected[i]).abs().le(bound).all().item<bool>()) << i;
  }
}

TEST(AdapterDropoutTest, NothingIsDroppedAtAVanishingRateAndNothingChangesAtNone) {
  at::manual_seed(4);
  const std::vector<at::Tensor> in = inputs_of_three_layers();
  const auto y = [&](const AdapterDropout& dropout) {
    return at::cat(lora_linears(in[0], dropped_layers(in), {}, dropout), -1);
  };
  EXPECT_TRUE(kept(dropout_of(1e-13, 6), 5).all().item<bool>());
  EXPECT_TRUE(at::allclose(y(dropout_of(1e-13, 6)), y({}), 1e-11, 1e-11));
  EXPECT_TRUE(y({0, {}}).equal(at::cat(lora_linears(in[0], dropped_layers(in)), -1)));
}

TEST(AdapterDropoutTest, OfBfloat16Too) {
  at::manual_seed(5);
  const std::vector<at::Tensor> in = inputs_of_three_layers(2, 150, 64);
  std::vector<at::Tensor> narrow;
  for (const at::Tensor& each : in) narrow.push_back(each.to(at::kBFloat16).requires_grad_());
  std::vector<at::Tensor> wide;
  for (const at::Tensor& each : narrow) wide.push_back(each.detach().to(at::kDouble).requires_grad_());
  const AdapterDropout dropout = dropout_of(0.2, 300);
  const at::Tensor direction = randn64({2, 150, 13}).to(at::kBFloat16);
  const auto found = torch::autograd::grad({at::cat(lora_linears(narrow[0], dropped_layers(narrow), {}, dropout), -1)},
                                           narrow, {direction});
  const auto expected = torch::autograd::grad({at::cat(plain(wide, dropout), -1)}, wide, {direction.to(at::kDouble)});
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(found[i].scalar_type(), at::kBFloat16);
    const double off = (found[i].to(at::kDouble) - expected[i]).norm().item<double>();
    EXPECT_LT(off, 0.02 * expected[i].norm().item<double>()) << i;
  }
}

}  // namespace
}  // namespace hici::ops
