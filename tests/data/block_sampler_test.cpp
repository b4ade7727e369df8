// SPDX-License-Identifier: Apache-2.0
#include "hici/data/block_sampler.h"

#include "hici/base/error.h"

#include <gtest/gtest.h>

#include <set>

namespace hici::data {
namespace {

std::vector<int64_t> draw(BlockSampler& sampler, int64_t count) {
  std::vector<int64_t> drawn;
  for (int64_t i = 0; i < count; ++i) drawn.push_back(sampler.next());
  return drawn;
}

TEST(BlockSamplerTest, WithoutShufflingGivesFileOrderAgainAndAgain) {
  BlockSampler sampler(3, /*shuffle=*/false, 1);
  EXPECT_EQ(draw(sampler, 7), (std::vector<int64_t>{0, 1, 2, 0, 1, 2, 0}));
}

TEST(BlockSamplerTest, EveryEpochIsAnotherPermutation) {
  BlockSampler sampler(50, /*shuffle=*/true, 7);
  const std::vector<int64_t> first = draw(sampler, 50), second = draw(sampler, 50);
  EXPECT_EQ(std::set<int64_t>(first.begin(), first.end()).size(), 50u);
  EXPECT_EQ(std::set<int64_t>(second.begin(), second.end()).size(), 50u);
  EXPECT_NE(first, second);
}

// The order is part of what a resumed run must reproduce, on any platform: these numbers, made by an independent
// implementation of MT19937-64 and the Fisher-Yates shuffle, may not change.
TEST(BlockSamplerTest, OrderOfASeedIsFixedForever) {
  BlockSampler sampler(8, /*shuffle=*/true, 42);
  EXPECT_EQ(draw(sampler, 16), (std::vector<int64_t>{1, 5, 6, 7, 3, 2, 0, 4, 7, 6, 0, 1, 3, 2, 4, 5}));
}

TEST(BlockSamplerTest, SeekGoesOnWhereAnotherSamplerStood) {
  BlockSampler walked(10, /*shuffle=*/true, 3);
  draw(walked, 27);
  BlockSampler jumped(10, /*shuffle=*/true, 3);
  jumped.seek(walked.position());
  EXPECT_EQ(draw(jumped, 30), draw(walked, 30));
}

TEST(BlockSamplerTest, PositionOutsideTheDataIsAnError) {
  BlockSampler sampler(10, /*shuffle=*/true, 3);
  EXPECT_THROW(sampler.seek({0, 11}), Error);
  EXPECT_THROW(sampler.seek({-1, 0}), Error);
}

}  // namespace
}  // namespace hici::data
