// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/lora_linear.h"

#include "support/gradcheck.h"

#include <torch/csrc/autograd/function.h>

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

// The weights of a chain of two layers, one of which has an adapter, and its input; in which order their gradients
// came.
struct Chain {
  at::Tensor x = testing::randn64({3, 5}), first = testing::randn64({4, 5}), second = testing::randn64({2, 4});
  at::Tensor a = testing::randn64({1, 4}), b = testing::randn64({2, 1});
  std::string order;

  void run(bool later) {
    for (auto [t, name] : {std::pair(&x, "x"), {&first, "1"}, {&second, "2"}, {&a, "a"}, {&b, "b"}}) {
      t->requires_grad_();
      t->register_hook([this, name = std::string(name)](const at::Tensor&) { order += name; });
    }
    at::Tensor y;
    {
      const LaterWeightGradients scope(later);
      y = lora_linears(lora_linears(x, {{first}})[0], {{second, a, b, 0.5}})[0];
    }
    y.square().sum().backward();
  }
};

TEST(LoraLinearTest, GradientsOfWeightsCanComeAfterThoseOfTheWholeChain) {
  at::manual_seed(4);
  Chain at_once, later;
  for (const auto member : {&Chain::x, &Chain::first, &Chain::second, &Chain::a, &Chain::b})
    later.*member = (at_once.*member).clone();
  at_once.run(false);
  later.run(true);
  EXPECT_LT(at_once.order.find('2'), at_once.order.find('x')) << at_once.order;
  EXPECT_LT(later.order.find('x'), later.order.find('1')) << later.order;
  EXPECT_LT(later.order.find('x'), later.order.find('2')) << later.order;
  for (const auto member : {&Chain::x, &Chain::first, &Chain::second, &Chain::a, &Chain::b})
    EXPECT_TRUE((later.*member).grad().equal((at_once.*member).grad()));
}

TEST(LoraLinearTest, OnlyLayersOfFewRowsAreThoseWhoseWeightsComeLater) {
  at::manual_seed(5);
  const at::Tensor weight = testing::randn64({2, 3}).requires_grad_(), frozen = testing::randn64({2, 3});
  const LaterWeightGradients scope;
  const auto kind_of = [](const at::Tensor& rows, const at::Tensor& w) {
    return lora_linears(rows, {{w}})[0].grad_fn()->next_edge(1).function;
  };
  const auto name = [&](const at::Tensor& rows) { return kind_of(rows, weight)->name(); };
  EXPECT_NE(name(testing::randn64({128, 3})), name(testing::randn64({129, 3})));
  EXPECT_EQ(kind_of(testing::randn64({4, 3}).requires_grad_(), frozen), nullptr);
  // Without gradients there is no graph to order.
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(lora_linears(testing::randn64({4, 3}), {{weight}})[0].requires_grad());
}

}  // namespace
}  // namespace hici::ops
