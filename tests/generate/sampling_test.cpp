// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/sampling.h"

#include "support/error_message.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace hici::generate {
namespace {

// How often each token comes in `draws` draws with numbers spread evenly over [0, 1): probabilities to 1 / draws.
std::vector<double> shares(const std::vector<double>& logits, const SamplingOptions& options, int64_t draws = 10000) {
  const at::Tensor logits_BV = at::tensor(logits, at::kDouble).expand({draws, -1});
  const at::Tensor uniform_B = (at::arange(draws, at::kDouble) + 0.5) / static_cast<double>(draws);
  const at::Tensor counts = choose_tokens(logits_BV, uniform_B, {}, options).bincount({}, logits_BV.size(1));
  std::vector<double> out;
  for (int64_t i = 0; i < counts.size(0); ++i) out.push_back(counts[i].item<double>() / static_cast<double>(draws));
  return out;
}

void expect_shares(const std::vector<double>& got, const std::vector<double>& weights) {
  double total = 0;
  for (const double weight : weights) total += weight;
  ASSERT_EQ(got.size(), weights.size());
  // Each border between two tokens may fall on either side of a draw.
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], weights[i] / total, 2e-4) << i;
}

// Probabilities 0.1, 0.4, 0.2, 0.3, in no order
const std::vector<double> kLogits{std::log(0.1) + 5, std::log(0.4) + 5, std::log(0.2) + 5, std::log(0.3) + 5};

TEST(ChooseTokensTest, DrawsHaveTheExactProbabilities) {
  expect_shares(shares(kLogits, {.temperature = 1}), {0.1, 0.4, 0.2, 0.3});
  expect_shares(shares(kLogits, {.temperature = 0.5}), {0.01, 0.16, 0.04, 0.09});  // squares
  expect_shares(shares(kLogits, {.temperature = 1, .top_k = 2}), {0, 0.4, 0, 0.3});
  expect_shares(shares(kLogits, {.temperature = 1, .top_k = 9}), {0.1, 0.4, 0.2, 0.3});
}

TEST(ChooseTokensTest, TopPKeepsTheFewestThatReachIt) {
  expect_shares(shares(kLogits, {.temperature = 1, .top_p = 0.69}), {0, 0.4, 0, 0.3});  // 0.4 + 0.3 reaches 0.69
  expect_shares(shares(kLogits, {.temperature = 1, .top_p = 0.71}), {0, 0.4, 0.2, 0.3});
  expect_shares(shares(kLogits, {.temperature = 1, .top_p = 0.01}), {0, 1, 0, 0});  // one is always left
  // After top-k the rest counts as all: 4/7 alone reaches 0.57.
  expect_shares(shares(kLogits, {.temperature = 1, .top_k = 2, .top_p = 0.57}), {0, 1, 0, 0});
}

TEST(ChooseTokensTest, GreedyTakesTheFirstOfTheMostProbable) {
  const at::Tensor logits = at::tensor({1.0, 3.0, 3.0, 2.0, 5.0, -1.0, 5.0, 0.0}).view({2, 4});
  const at::Tensor chosen = choose_tokens(logits, {}, {}, {});
  EXPECT_EQ(chosen[0].item<int64_t>(), 1);
  EXPECT_EQ(chosen[1].item<int64_t>(), 0);
}

TEST(ChooseTokensTest, ThePenaltyLowersSeenTokensOfEitherSign) {
  const at::Tensor logits = at::tensor({2.0, 1.5, -1.0, -2.5, -2.0, -1.5}).view({2, 3});
  const at::Tensor seen = at::tensor({1, 0, 0, 0, 0, 1}).to(at::kBool).view({2, 3});
  const at::Tensor chosen = choose_tokens(logits, {}, seen, {.repetition_penalty = 1.5});
  EXPECT_EQ(chosen[0].item<int64_t>(), 1);  // 2 / 1.5 < 1.5
  EXPECT_EQ(chosen[1].item<int64_t>(), 1);  // -1.5 * 1.5 < -2
}

TEST(ChooseTokensTest, TheEndsOfTheUnitIntervalChooseTokensWithProbability) {
  const double largest = 1 - 0x1p-52;
  const at::Tensor logits = at::tensor({-1e9, 0.0, -1e9}, at::kDouble).expand({2, -1});
  const at::Tensor chosen = choose_tokens(logits, at::tensor({0.0, largest}, at::kDouble), {}, {.temperature = 1});
  EXPECT_TRUE(chosen.eq(1).all().item<bool>());
}

TEST(WithoutTokensTest, TheseTokensAreNeverChosen) {
  const at::Tensor logits = at::tensor({1.0, 3.0, 2.0, 5.0, -1.0, 0.5}).view({2, 3});
  const at::Tensor chosen = choose_tokens(without_tokens(logits, at::tensor({1, 0}, at::kLong)), {}, {}, {});
  EXPECT_EQ(chosen[0].item<int64_t>(), 2);
  EXPECT_EQ(chosen[1].item<int64_t>(), 2);
  EXPECT_TRUE(logits.equal(at::tensor({1.0, 3.0, 2.0, 5.0, -1.0, 0.5}).view({2, 3})));
  EXPECT_TRUE(without_tokens(logits, at::empty({0}, at::kLong)).equal(logits));
}

TEST(UniformNumberTest, NumbersAreInTheUnitIntervalEvenAndWithoutPattern) {
  constexpr int kCount = 20000;
  std::vector<int> bins(16);
  double sum_of_products = 0, former = 0.5;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double u = uniform_number(3, i % 5, i / 5);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    ++bins[static_cast<size_t>(u * 16)];
    sum_of_products += (u - 0.5) * (former - 0.5);
    former = u;
  }
  // Five standard deviations of a binomial count, and of a mean of products of two uniform numbers (1/12 each).
  for (const int count : bins) EXPECT_NEAR(count, kCount / 16.0, 5 * std::sqrt(kCount * 15.0 / 256));
  EXPECT_NEAR(sum_of_products / kCount, 0, 5.0 / 12 / std::sqrt(kCount));
  EXPECT_EQ(uniform_number(3, 1, 2), uniform_number(3, 1, 2));
  EXPECT_NE(uniform_number(3, 1, 2), uniform_number(3, 2, 1));
  EXPECT_NE(uniform_number(3, 1, 2), uniform_number(4, 1, 2));
}

TEST(SamplingOptionsTest, BadValuesAreUsageErrors) {
  auto message = [](const SamplingOptions& options) { return testing::error_message([&] { options.validate(); }); };
  EXPECT_EQ(message({.temperature = -0.5}), "`temperature`: -0.5 is no temperature; use 0 (greedy) or more");
  EXPECT_EQ(message({.temperature = 1e-300}),
            "`temperature`: 1e-300 is next to greedy; use 0 (greedy), or 1e-06 or more");
  EXPECT_EQ(message({.temperature = 1, .top_k = -1}), "`top_k`: -1 is negative; use 0 (all tokens) or more");
  EXPECT_EQ(message({.temperature = 1, .top_p = 0}), "`top_p`: 0 is no probability; use more than 0, up to 1");
  EXPECT_EQ(message({.repetition_penalty = 0}), "`repetition_penalty`: 0 is not positive; use 1 (none) or more");
  EXPECT_EQ(message({.top_k = 5}),
            "`top_k`, `top_p`: have no effect with `temperature` 0; give a temperature, or leave them out");
}

}  // namespace
}  // namespace hici::generate
