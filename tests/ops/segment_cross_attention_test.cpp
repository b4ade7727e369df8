// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_cross_attention.h"

#include "support/gradcheck.h"

namespace hici::ops {
namespace {

at::Tensor right_padding() {  // segment 0 whole, segment 1 half, segment 2 nothing but padding
  return at::tensor({1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}, at::kLong).view({3, 4}).to(at::kBool);
}

TEST(SegmentCrossAttentionTest, GivesSoftmaxWeightedMeans) {
  at::manual_seed(1);
  const at::Tensor x = testing::randn64({3, 4, 5}), queries = testing::randn64({2, 5}), valid = right_padding();
  const at::Tensor means = segment_cross_attention(x, queries, valid).transpose(0, 1);
  const at::Tensor half = at::softmax(at::matmul(x[1].narrow(0, 0, 2), queries.t()), 0);
  EXPECT_TRUE(
      at::allclose(means[0], at::matmul(at::softmax(at::matmul(x[0], queries.t()), 0).t(), x[0]), 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(means[1], at::matmul(half.t(), x[1].narrow(0, 0, 2)), 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(means[2], x[2].mean(0, true).expand({2, 5}), 1e-12, 1e-12));
}

TEST(SegmentCrossAttentionTest, BackwardMatchesCentralDifferences) {
  at::manual_seed(2);
  for (const at::Tensor& valid : {at::Tensor(), right_padding()}) {
    testing::check_gradients(
        [&](const std::vector<at::Tensor>& in) { return segment_cross_attention(in[0], in[1], valid); },
        {testing::randn64({3, 4, 5}), testing::randn64({2, 5})});
  }
}

}  // namespace
}  // namespace hici::ops
