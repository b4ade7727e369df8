// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/lora_linear.h"

#include "support/gradcheck.h"

namespace hici::ops {
namespace {

// Three layers over one input: an adapter, none, and an adapter of another rank.
std::vector<LoraWeights> three_layers(const std::vector<at::Tensor>& in) {
  return {{in[1], in[2], in[3], 2.0}, {in[4]}, {in[5], in[6], in[7], 0.5}};
}

std::vector<at::Tensor> random_inputs() {
  return {testing::randn64({2, 3, 5}), testing::randn64({4, 5}), testing::randn64({2, 5}), testing::randn64({4, 2}),
          testing::randn64({3, 5}),    testing::randn64({6, 5}), testing::randn64({1, 5}), testing::randn64({6, 1})};
}

TEST(LoraLinearTest, AddsEachAdapterToItsProduct) {
  at::manual_seed(1);
  const std::vector<at::Tensor> in = random_inputs();
  const std::vector<at::Tensor> y = lora_linears(in[0], three_layers(in));
  const at::Tensor merged_0 = in[1] + 2.0 * at::matmul(in[3], in[2]), merged_2 = in[5] + 0.5 * at::matmul(in[7], in[6]);
  EXPECT_TRUE(at::allclose(y[0], at::matmul(in[0], merged_0.t()), 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(y[1], at::matmul(in[0], in[4].t()), 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(y[2], at::matmul(in[0], merged_2.t()), 1e-12, 1e-12));
}

TEST(LoraLinearTest, BackwardMatchesCentralDifferences) {
  at::manual_seed(2);
  testing::check_gradients(
      [](const std::vector<at::Tensor>& in) { return at::cat(lora_linears(in[0], three_layers(in)), -1); },
      random_inputs());
}

TEST(LoraLinearTest, FrozenWeightsAndInputsGetNoGradient) {
  at::manual_seed(3);
  std::vector<at::Tensor> in = random_inputs();
  for (const size_t trained : {2, 3, 6, 7}) in[trained].requires_grad_();
  at::cat(lora_linears(in[0], three_layers(in)), -1).sum().backward();
  for (const size_t frozen : {0, 1, 4, 5}) EXPECT_FALSE(in[frozen].grad().defined()) << frozen;
  for (const size_t trained : {2, 3, 6, 7}) EXPECT_TRUE(in[trained].grad().defined()) << trained;
}

}  // namespace
}  // namespace hici::ops
