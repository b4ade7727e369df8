// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rms_norm.h"

#include "support/gradcheck.h"

#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

namespace hici::ops {
namespace {

TEST(RmsNormTest, MatchesItsDefinitionInEveryType) {
  at::manual_seed(1);
  const at::Tensor x = testing::randn64({3, 5, 16}), weight = testing::randn64({16});
  const at::Tensor expected = weight * x / (x.square().mean({-1}, true) + 1e-6).sqrt();
  EXPECT_TRUE(at::allclose(rms_norm(x, weight, 1e-6), expected, 1e-12, 1e-12));
  EXPECT_TRUE(
      at::allclose(rms_norm(x.to(at::kFloat), weight.to(at::kFloat), 1e-6).to(at::kDouble), expected, 1e-5, 1e-5));
  // bf16 has 8 bits of mantissa: inputs, normed value and weight are each rounded to 2^-9 relative.
  EXPECT_TRUE(at::allclose(rms_norm(x.to(at::kBFloat16), weight.to(at::kBFloat16), 1e-6).to(at::kDouble), expected,
                           2e-2, 2e-2));
}

TEST(RmsNormTest, BackwardMatchesCentralDifferences) {
  at::manual_seed(2);
  testing::check_gradients([](const std::vector<at::Tensor>& in) { return rms_norm(in[0], in[1], 1e-6); },
                           {testing::randn64({2, 3, 8}), testing::randn64({8})});
}

TEST(AddRmsNormTest, NormsTheSumAndGivesBoth) {
  at::manual_seed(3);
  const at::Tensor x = testing::randn64({3, 16}), delta = testing::randn64({3, 16}), weight = testing::randn64({16});
  const NormedSum got = add_rms_norm(x, delta, weight, 1e-6);
  EXPECT_TRUE(at::equal(got.sum, x + delta));
  EXPECT_TRUE(at::equal(got.normed, rms_norm(x + delta, weight, 1e-6)));
}

// The gradient of the sum reaches x by both results, and past the norm alone where nothing is added.
TEST(AddRmsNormTest, BackwardMatchesCentralDifferences) {
  at::manual_seed(4);
  auto both = [](const NormedSum& out) { return at::cat({out.sum * out.sum, out.normed}); };
  testing::check_gradients(
      [&](const std::vector<at::Tensor>& in) { return both(add_rms_norm(in[0], in[1], in[2], 1e-6)); },
      {testing::randn64({2, 8}), testing::randn64({2, 8}), testing::randn64({8})});
  testing::check_gradients(
      [&](const std::vector<at::Tensor>& in) { return both(add_rms_norm(in[0], {}, in[1], 1e-6)); },
      {testing::randn64({2, 8}), testing::randn64({8})});
}

TEST(AddRmsNormTest, GradientsOfBothReadersMeet) {
  at::manual_seed(5);
  const at::Tensor x = testing::randn64({2, 8}), weight = testing::randn64({8}), a = testing::randn64({2, 8}),
                   b = testing::randn64({2, 8});
  const auto gradients = [&](const std::function<at::Tensor(const NormedSum&)>& read) {
    const at::Tensor leaf = x.clone().requires_grad_(), w = weight.clone().requires_grad_();
    return torch::autograd::grad({read(add_rms_norm(leaf, {}, w, 1e-6)).sum()}, {leaf, w});
  };
  const auto one = gradients([&](const NormedSum& out) { return out.normed * (a + b) + out.sum; });
  const auto both =
      gradients([&](const NormedSum& out) { return out.normed * a + out.normed_for_slots * b + out.sum; });
  const auto beside = gradients([&](const NormedSum& out) { return out.normed_for_slots * (a + b) + out.sum; });
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(at::allclose(both[i], one[i], 1e-12, 1e-12)) << i;
    EXPECT_TRUE(at::allclose(beside[i], one[i], 1e-12, 1e-12)) << i;
  }
}

}  // namespace
}  // namespace hici::ops
