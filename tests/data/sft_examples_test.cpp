// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/examples.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace hici::data {
namespace {

// Ids begin, begin + 1, ...; the first `prompt` are not learned.
SftExample example(uint32_t begin, size_t length, size_t prompt) {
  SftExample made;
  made.ids.resize(length);
  std::iota(made.ids.begin(), made.ids.end(), begin);
  made.is_learned.resize(prompt);
  made.is_learned.resize(length, true);
  return made;
}

SftExamples examples_of(const SftLayout& layout, const std::vector<SftExample>& all) {
  SftExamples examples(layout);
  for (const SftExample& one : all) examples.add(one);
  examples.finish();
  return examples;
}

at::Tensor rows(const std::vector<int64_t>& values, int64_t num_rows) {
  return at::tensor(values, at::kLong).view({num_rows, -1});
}

TEST(SftExamplesTest, LabelsAreTheAnswersNextTokensAndPaddingIsOnTheRight) {
  const SftExamples examples = examples_of({.max_length = 8}, {example(10, 5, 3), example(20, 3, 1)});
  const TokenBatch batch = examples.batch({0, 1});
  EXPECT_TRUE(at::equal(batch.tokens_BT, rows({10, 11, 12, 13, 14, 20, 21, 22, 0, 0}, 2)));
  EXPECT_TRUE(at::equal(batch.labels_BT, rows({-100, -100, 13, 14, -100, 21, 22, -100, -100, -100}, 2)));
  EXPECT_TRUE(at::equal(batch.valid_BT, rows({1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, 2).to(at::kBool)));
  EXPECT_EQ(batch.num_targets, 4);
  EXPECT_EQ(batch.num_tokens(), 8);
  EXPECT_TRUE(batch.sequences.empty());
  EXPECT_FALSE(examples.batch({0}).valid_BT.defined());
}

TEST(SftExamplesTest, CutsAtTheEndAndDropsWhatHasNoAnswerLeft) {
  const SftExamples examples =
      examples_of({.max_length = 4}, {example(10, 6, 3), example(20, 6, 4), example(30, 4, 1), example(40, 1, 0)});
  EXPECT_EQ(examples.num_samples(), 2);
  EXPECT_TRUE(at::equal(examples.batch({0}).labels_BT, rows({-100, -100, 13, -100}, 1)));
  const SftCounts& counts = examples.counts();
  EXPECT_EQ(counts.examples, 2);
  EXPECT_EQ(counts.tokens, 8);
  EXPECT_EQ(counts.learned, 4);
  EXPECT_EQ(counts.truncated, 2);
  EXPECT_EQ(counts.dropped, 2);
}

TEST(SftExamplesTest, PadsToWholeSegmentsAndKeepsNoEmptyOnes) {
  const std::vector<SftExample> all{example(10, 5, 1), example(20, 3, 1)};
  const TokenBatch batch = examples_of({.max_length = 8, .segment_length = 4}, all).batch({0, 1});
  EXPECT_EQ(batch.tokens_BT.sizes(), (std::vector<int64_t>{2, 8}));
  EXPECT_EQ(batch.sequences, (SequenceLengths{{8}, {4}}));
  const TokenBatch whole =
      examples_of({.max_length = 8, .segment_length = 4, .drops_empty_segments = false}, all).batch({0, 1});
  EXPECT_TRUE(whole.sequences.empty());
  EXPECT_EQ(whole.tokens_BT.size(1), 8);
}

TEST(SftExamplesTest, PacksEveryExampleOnceIntoRowsThatHoldThem) {
  const SftLayout layout{.max_length = 16, .segment_length = 4, .packing = true};
  std::vector<SftExample> all;
  for (uint32_t i = 0; i < 20; ++i) all.push_back(example(100 * i, 2 + i % 9, 1));
  const SftExamples examples = examples_of(layout, all);
  std::set<int64_t> starts;
  for (int64_t sample = 0; sample < examples.num_samples(); ++sample) {
    const TokenBatch batch = examples.batch({sample});
    const std::vector<int64_t> lengths =
        batch.sequences.empty() ? std::vector<int64_t>{batch.tokens_BT.size(1)} : batch.sequences[0];
    int64_t at = 0;
    for (const int64_t length : lengths) {
      EXPECT_EQ(length % 4, 0);
      starts.insert(batch.tokens_BT[0][at].item<int64_t>());
      at += length;
    }
    EXPECT_EQ(at, batch.tokens_BT.size(1));
    EXPECT_LE(at, 16);
  }
  EXPECT_EQ(starts.size(), all.size());
  // With padding 8 x 4 + 8 x 8 + 4 x 12 tokens, 9 rows when none has room left.
  EXPECT_EQ(examples.num_samples(), 9);
}

TEST(SftExamplesTest, TheFingerprintKnowsIdsAnswersAndBounds) {
  const std::vector<std::vector<SftExample>> others{{example(10, 5, 3), example(15, 3, 1)},
                                                    {example(10, 5, 2), example(15, 3, 1)},
                                                    {example(11, 5, 3), example(15, 3, 1)},
                                                    {example(10, 4, 3), example(14, 4, 1)}};
  std::set<std::string> fingerprints;
  for (const auto& all : others) fingerprints.insert(examples_of({.max_length = 8}, all).fingerprint());
  EXPECT_EQ(fingerprints.size(), others.size());
  EXPECT_EQ(examples_of({.max_length = 8}, others[0]).fingerprint(),
            examples_of({.max_length = 8}, others[0]).fingerprint());
}

}  // namespace
}  // namespace hici::data
