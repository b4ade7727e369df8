// SPDX-License-Identifier: Apache-2.0
// The shares in blocks against a whole softmax; what they take. (Whole models: tests/golden/attention_golden_test.cpp.)
#include "hici/eval/attention_shares.h"

#include "hici/eval/attention_rows.h"
#include "support/counted_memory.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <gtest/gtest.h>

#include <cmath>

namespace hici::eval {
namespace {

constexpr int64_t kHeads = 4, kKeyHeads = 2, kHeadDim = 8, kSlots = 5, kGlobal = 2;

struct Inputs {
  ops::AttentionHeads heads;
  at::Tensor no_padding;
  nn::AttentionView view() const { return {0, heads, 1, kSlots, kGlobal, true, no_padding}; }
};

Inputs random_inputs(int64_t length, at::ScalarType type) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(3);
  auto draw = [&](int64_t rows, int64_t heads) {
    return at::randn({1, rows, heads, kHeadDim}, generator, at::TensorOptions().dtype(at::kDouble)).mul(1.5).to(type);
  };
  return {{draw(length, kHeads), draw(kSlots + length, kKeyHeads), {}}, {}};
}

// [H, S, P + S], all at once.
at::Tensor whole_softmax(const ops::AttentionHeads& heads) {
  const at::Tensor q_HSD = heads.q_GSHD[0].to(at::kDouble).transpose(0, 1);
  const at::Tensor k_HKD = heads.k_GKJD[0].to(at::kDouble).repeat_interleave(kHeads / kKeyHeads, 1).transpose(0, 1);
  const int64_t length = q_HSD.size(1);
  const at::Tensor seen = at::ones({length, kSlots + length}, at::kBool).tril(kSlots);
  return q_HSD.matmul(k_HKD.transpose(1, 2))
      .div(std::sqrt(static_cast<double>(kHeadDim)))
      .masked_fill(seen.logical_not(), -INFINITY)
      .softmax(2);
}

TEST(AttentionSharesTest, BlocksOfAnySizeGiveTheSharesOfTheWholeSoftmax) {
  const Inputs in = random_inputs(37, at::kDouble);
  const at::Tensor weights_HSK = whole_softmax(in.heads);
  const at::Tensor expected_HX = at::stack(
      {weights_HSK.narrow(2, 0, kGlobal).sum({1, 2}), weights_HSK.narrow(2, kGlobal, kSlots - kGlobal).sum({1, 2}),
       weights_HSK.narrow(2, kSlots, 37).sum({1, 2})},
      1);
  for (const int64_t block : {1, 5, 36, 37, 512}) {
    AttentionShares shares(1, kHeads, {}, block);
    shares.see(in.view());
    EXPECT_EQ(shares.num_queries(), 37);
    EXPECT_LT((shares.sums_LHX()[0] - expected_HX).abs().max().item<double>(), 1e-11) << block;  // float64
  }
}

// The work is in float32: rounding of a score near 10 is 1e-6 of a weight.
TEST(AttentionSharesTest, NarrowTypesAreWorkedOnInFloat32) {
  const Inputs in = random_inputs(37, at::kBFloat16);
  const double local = whole_softmax(in.heads).narrow(2, kGlobal, kSlots - kGlobal).sum().item<double>();
  AttentionShares shares(1, kHeads);
  shares.see(in.view());
  EXPECT_NEAR(shares.sums_LHX()[0].select(1, 1).sum().item<double>() / local, 1, 1e-5);
}

TEST(AttentionSharesTest, AMapOfOneTokenACellIsTheSoftmaxOfTheHead) {
  const Inputs in = random_inputs(12, at::kDouble);
  AttentionShares shares(1, kHeads, MapPlace{.head = 3}, 5);
  shares.see(in.view());
  ASSERT_TRUE(shares.map());
  EXPECT_EQ(shares.map()->num_global, kGlobal);
  EXPECT_EQ(shares.map()->num_local, kSlots - kGlobal);
  EXPECT_EQ(shares.map()->block_tokens, 1);
  const at::Tensor weights_SK = whole_softmax(in.heads)[3];
  for (int64_t i = 0; i < 12; ++i) {
    const at::Tensor row = at::tensor(shares.map()->rows[static_cast<size_t>(i)], at::kDouble);
    EXPECT_LT((row - weights_SK[i]).abs().max().item<double>(), 1e-12) << i;
  }
}

// Only the columns of a map's row grow with the segment: 8 bytes a token. A matrix of S x S would be 64 MiB a head.
TEST(AttentionSharesTest, MemoryIsThatOfOneBlockWhateverTheLength) {
  auto peak = [](int64_t length) {
    const Inputs in = random_inputs(length, at::kFloat);
    AttentionShares shares(1, kHeads, MapPlace{.max_blocks = 4}, 128);
    const hici::testing::CountedMemory memory;
    shares.see(in.view());
    return memory.peak();
  };
  const int64_t of_1024 = peak(1024), of_4096 = peak(4096);
  EXPECT_LT(of_4096, of_1024 + 4 * 8 * (4096 - 1024));
  EXPECT_LT(of_4096, int64_t{8} * kHeads * 128 * 128 * 4);  // of one block: scores, weights, a sum in float64
}

}  // namespace
}  // namespace hici::eval
