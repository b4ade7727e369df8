// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_attention.h"

#include "hici/base/error.h"
#include "support/gradcheck.h"

#include <cmath>
#include <limits>

namespace hici::ops {
namespace {

// The plain mathematics, with the mask written out.
at::Tensor expected_attention(const at::Tensor& q, const at::Tensor& k_in, const at::Tensor& v_in) {
  const int64_t length = q.size(1), prefix = k_in.size(1) - length, group = q.size(2) / k_in.size(2);
  const at::Tensor k = k_in.repeat_interleave(group, 2).transpose(1, 2),
                   v = v_in.repeat_interleave(group, 2).transpose(1, 2);
  const at::Tensor score =
      at::matmul(q.transpose(1, 2), k.transpose(-1, -2)) / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor allowed = at::ones({length, prefix + length}, at::TensorOptions().dtype(at::kBool)).tril(prefix);
  return at::matmul(at::softmax(score.masked_fill(allowed.logical_not(), -std::numeric_limits<double>::infinity()), -1),
                    v)
      .transpose(1, 2);
}

struct Shape {
  int64_t segments, length, prefix, heads, kv_heads, head_dim;
};

class SegmentAttentionShapeTest : public ::testing::TestWithParam<Shape> {};

TEST_P(SegmentAttentionShapeTest, OutputAndGradientsMatchPlainMathematics) {
  const Shape s = GetParam();
  at::manual_seed(5);
  auto leaf = [&](int64_t length, int64_t heads) {
    return testing::randn64({s.segments, length, heads, s.head_dim}).requires_grad_();
  };
  const at::Tensor q = leaf(s.length, s.heads), k = leaf(s.prefix + s.length, s.kv_heads),
                   v = leaf(s.prefix + s.length, s.kv_heads);
  const at::Tensor expected = expected_attention(q, k, v), cotangent = at::randn_like(expected);
  const auto expected_gradients = torch::autograd::grad({expected}, {q, k, v}, {cotangent});
  for (const AttentionBackend backend : {AttentionBackend::kFlash, AttentionBackend::kMath}) {
    const at::Tensor got = segment_attention(q, k, v, backend);
    ASSERT_TRUE(at::allclose(got, expected, 1e-10, 1e-12)) << name_of(backend);
    const auto gradients = torch::autograd::grad({got}, {q, k, v}, {cotangent});
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(at::allclose(gradients[i], expected_gradients[i], 1e-9, 1e-11)) << name_of(backend) << " " << i;
    }
  }
}

// The same slots given beside the tokens, of which each backend must make what it reads.
TEST_P(SegmentAttentionShapeTest, SlotsBesideTheTokensAreSlotsInFront) {
  const Shape s = GetParam();
  if (s.prefix == 0) return;
  at::manual_seed(6);
  auto random = [&](int64_t length, int64_t heads) {
    return testing::randn64({s.segments, length, heads, s.head_dim}).requires_grad_();
  };
  const std::vector<at::Tensor> in{random(s.length, s.heads), random(s.length, s.kv_heads),
                                   random(s.length, s.kv_heads), random(s.prefix, s.kv_heads),
                                   random(s.prefix, s.kv_heads)};
  const at::Tensor expected = expected_attention(in[0], at::cat({in[3], in[1]}, 1), at::cat({in[4], in[2]}, 1));
  const at::Tensor cotangent = at::randn_like(expected);
  const auto expected_gradients = torch::autograd::grad({expected}, in, {cotangent});
  for (const AttentionBackend backend : {AttentionBackend::kFlash, AttentionBackend::kMath}) {
    const at::Tensor got = segment_attention({in[0], in[1], in[2], in[3], in[4]}, backend);
    ASSERT_TRUE(at::allclose(got, expected, 1e-10, 1e-12)) << name_of(backend);
    const auto gradients = torch::autograd::grad({got}, in, {cotangent});
    for (size_t i = 0; i < in.size(); ++i) {
      EXPECT_TRUE(at::allclose(gradients[i], expected_gradients[i], 1e-9, 1e-11)) << name_of(backend) << " " << i;
    }
  }
}

// A prefix that takes all of a query's weight, or none, must not lose the log-sum-exp of the other part.
TEST(SegmentAttentionTest, PrefixFarAboveAndFarBelowTheTokens) {
  at::manual_seed(7);
  for (const double size : {1e3, -1e3}) {
    const at::Tensor q = testing::randn64({2, 5, 3, 8}).abs().to(at::kFloat).requires_grad_();
    const at::Tensor k = at::cat({at::full({2, 2, 3, 8}, size), at::randn({2, 5, 3, 8})}, 1).requires_grad_();
    const at::Tensor v = at::randn({2, 7, 3, 8}).requires_grad_();
    const at::Tensor got = segment_attention(q, k, v, AttentionBackend::kFlash);
    const at::Tensor expected = segment_attention(q, k, v, AttentionBackend::kMath), cotangent = at::randn_like(got);
    // Both in float32, whose scores of about 1e3 are good to 1e-4.
    EXPECT_TRUE(at::allclose(got, expected, 1e-3, 1e-3)) << size;
    const auto gradients = torch::autograd::grad({got}, {q, k, v}, {cotangent});
    const auto expected_gradients = torch::autograd::grad({expected}, {q, k, v}, {cotangent});
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(gradients[i].isfinite().all().item<bool>()) << size << " " << i;
      // Gradients of q take up the slots' size.
      EXPECT_TRUE(at::allclose(gradients[i], expected_gradients[i], 1e-3, i == 0 ? 1.0 : 1e-2)) << size << " " << i;
    }
  }
}

TEST(AttentionBackendTest, SaysWhichBackendCanDoIt) {
  const AttentionProblem on_cpu{at::kCPU, at::kFloat, 64};
  EXPECT_EQ(fastest_backend(on_cpu), AttentionBackend::kFlash);
  EXPECT_EQ(why_not(AttentionBackend::kMath, on_cpu), "");
  const std::string reason = why_not(AttentionBackend::kCudnn, on_cpu);
  EXPECT_NE(reason.find("head size 64 in float32 on cpu; use flash or math"), std::string::npos) << reason;
  EXPECT_NE(
      why_not(AttentionBackend::kHopper, on_cpu).find("a plug-in built for it, not head size 64 in float32 on cpu"),
      std::string::npos);
  EXPECT_THROW(parse_enum<AttentionBackend>("cuda", "--attention_backend"), UsageError);
}

INSTANTIATE_TEST_SUITE_P(Shapes, SegmentAttentionShapeTest,
                         ::testing::Values(Shape{1, 1, 0, 1, 1, 8}, Shape{2, 7, 0, 4, 4, 8}, Shape{3, 5, 3, 4, 2, 16},
                                           Shape{2, 1, 12, 8, 1, 8}, Shape{2, 33, 32, 6, 2, 12},
                                           Shape{2, 9, 4, 12, 4, 24}));

}  // namespace
}  // namespace hici::ops
