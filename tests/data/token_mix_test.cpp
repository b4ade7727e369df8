// SPDX-License-Identifier: Apache-2.0
#include "hici/data/token_mix.h"

#include "hici/base/error.h"
#include "support/error_message.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <tuple>
#include <utility>

namespace hici::data {
namespace {

// Sample i is the token `base` + i.
class Counting : public BatchSource {
 public:
  Counting(int64_t base, int64_t count) : base_(base), count_(count) {}
  int64_t num_samples() const override { return count_; }
  TokenBatch batch(const std::vector<int64_t>& samples) const override {
    const at::Tensor token = at::full({1, 1}, base_ + samples.at(0), at::kLong);
    return {token, token + 1, 1, samples};
  }

 private:
  int64_t base_, count_;
};

TokenMix mix_of(std::vector<int64_t> counts, std::vector<double> weights) {
  std::vector<std::unique_ptr<BatchSource>> parts;
  for (size_t i = 0; i < counts.size(); ++i)
    parts.push_back(std::make_unique<Counting>(static_cast<int64_t>(100 * i), counts[i]));
  return {std::move(parts), std::move(weights)};
}

std::vector<int64_t> drawn(SampleOrder& order, int64_t count) {
  std::vector<int64_t> samples(static_cast<size_t>(count));
  for (int64_t& sample : samples) sample = order.next();
  return samples;
}

TEST(TokenMixTest, SharesComeNearTheWeightsWhateverTheirSum) {
  const MixChoice choice({7, 0, 3}, 42);
  const std::vector<int64_t> counts = choice.counts_before(100'000);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), 100'000);
  EXPECT_EQ(counts[1], 0);
  // Five standard deviations of a binomial distribution.
  EXPECT_NEAR(static_cast<double>(counts[0]), 70'000, 5 * 145);
}

TEST(TokenMixTest, EachPartGivesAllItsSamplesBeforeOneComesAgain) {
  const TokenMix mix = mix_of({5, 3}, {1, 1});
  EXPECT_EQ(mix.num_samples(), 8);
  const auto order = mix.order(true, 7);
  std::vector<std::vector<int64_t>> of_part(2);
  for (const int64_t sample : drawn(*order, 60)) of_part[sample < 5 ? 0 : 1].push_back(sample);
  for (const auto& [part, first, count] : {std::tuple{0, 0, 5}, std::tuple{1, 5, 3}}) {
    for (size_t pass = 0; (pass + 1) * static_cast<size_t>(count) <= of_part[static_cast<size_t>(part)].size();
         ++pass) {
      const auto begin = of_part[static_cast<size_t>(part)].begin() + static_cast<std::ptrdiff_t>(pass) * count;
      std::vector<int64_t> samples(begin, begin + count), expected(static_cast<size_t>(count));
      std::sort(samples.begin(), samples.end());
      std::iota(expected.begin(), expected.end(), first);
      EXPECT_EQ(samples, expected);
    }
  }
}

TEST(TokenMixTest, SeekGoesOnWhereAnotherOrderStood) {
  const TokenMix mix = mix_of({5, 3}, {0.6, 0.4});
  const auto walked = mix.order(true, 3), jumped = mix.order(true, 3);
  for (const int64_t before : {0, 1, 7, 8, 9, 37}) {
    walked->seek({});
    drawn(*walked, before);
    jumped->seek(walked->position());
    EXPECT_EQ(drawn(*jumped, 20), drawn(*walked, 20)) << before;
  }
  EXPECT_THROW(jumped->seek({0, 9}), Error);
}

TEST(TokenMixTest, ABatchTakesRowsOfSeveralParts) {
  const TokenBatch batch = mix_of({5, 3}, {1, 1}).batch({4, 5, 7});
  EXPECT_TRUE(at::equal(batch.tokens_BT, at::tensor({4, 100, 102}, at::kLong).view({3, 1})));
  EXPECT_TRUE(at::equal(batch.labels_BT, batch.tokens_BT + 1));
  EXPECT_EQ(batch.num_targets, 3);
}

TEST(TokenMixTest, WordsOfAMixAreReadOrRefused) {
  EXPECT_EQ(parse_mix("a.bin:0.7,dir/b:3", "m"), (std::vector<MixPart>{{"a.bin", 0.7}, {"dir/b", 3}}));
  const auto error = [](const std::string& text) { return testing::error_message([&] { parse_mix(text, "m"); }); };
  EXPECT_EQ(error("a:1,b"), "m: 'b' has no weight; write PATH:WEIGHT, as in a.bin:0.7,b.bin:0.3");
  EXPECT_EQ(error(":1"), "m: ':1' has no weight; write PATH:WEIGHT, as in a.bin:0.7,b.bin:0.3");
  EXPECT_EQ(
      error("a:b:1"),
      "m: 'a:b:1' has two colons; a path with a colon or a comma cannot stand here, so give the file another name");
  EXPECT_EQ(error("a:1x"), "m: '1x' of 'a:1x' is no number");
  EXPECT_EQ(error("a:inf"), "m: 'inf' of 'a:inf' is no number");
  EXPECT_EQ(error("a:-0.5"), "m: -0.5 of 'a:-0.5' is negative; a weight is 0 or more");
  EXPECT_EQ(error("a:0,b:0"), "m: the weights of 'a:0,b:0' sum to 0; give one that is above 0");
  EXPECT_EQ(error("a:1,a:2"), "m: a is there twice; give it once, with the sum of its weights");
  EXPECT_EQ(error("a:1,./x/../a:2"), "m: ./x/../a is there twice; give it once, with the sum of its weights");
  EXPECT_EQ(error("a:1e308,b:1e308"), "m: the weights of 'a:1e308,b:1e308' sum to inf; give smaller ones");
}

}  // namespace
}  // namespace hici::data
