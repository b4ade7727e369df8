// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/recompute.h"

#include "support/gradcheck.h"

namespace hici::nn {
namespace {

using testing::randn64;

// Two inputs, a parameter, three outputs; the second is a view, the third one of the inputs.
TensorList mix(const at::Tensor& weight, const TensorList& in) {
  const at::Tensor product = at::matmul(in[0], weight);
  return {product.sin() * in[1], (product + in[1]).transpose(0, 1), in[1]};
}

struct Gradients {
  TensorList of_inputs;
  at::Tensor of_weight;
};

// Gradients of the outputs chosen, each along its own cotangent.
Gradients gradients_of(bool recomputes, const std::vector<size_t>& used) {
  at::manual_seed(3);
  const at::Tensor weight = randn64({4, 4}).requires_grad_();
  const TensorList leaves{randn64({3, 4}).requires_grad_(), randn64({3, 4}).requires_grad_()};
  const TensorList inputs{leaves[0] * 2, leaves[1].exp()};
  auto layer = [&](const TensorList& in) { return mix(weight, in); };
  const TensorList outputs = recomputes ? recompute(layer, inputs) : layer(inputs);
  TensorList roots, cotangents;
  for (const size_t i : used) {
    roots.push_back(outputs[i]);
    cotangents.push_back(at::linspace(-1, 1, 12, weight.options()).view(outputs[i].sizes()));
  }
  torch::autograd::backward(roots, cotangents);
  return {{leaves[0].grad(), leaves[1].grad()}, weight.grad()};
}

at::Tensor or_zero(const at::Tensor& t) { return t.defined() ? t : at::zeros({1}, at::kDouble); }

// The same operations on the same values: equal to the last bit, but for the order in which two gradients of one
// tensor are added, which does not change a sum of two.
TEST(RecomputeTest, GradientsOfEveryChoiceOfOutputsAreThoseOfThePlainFunction) {
  for (const std::vector<size_t>& used :
       {std::vector<size_t>{0}, std::vector<size_t>{1}, std::vector<size_t>{2}, std::vector<size_t>{0, 1}}) {
    SCOPED_TRACE(used.size() * 10 + used[0]);
    const Gradients plain = gradients_of(false, used), recomputed = gradients_of(true, used);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(at::equal(or_zero(recomputed.of_inputs[i]), or_zero(plain.of_inputs[i]))) << i;
    }
    EXPECT_TRUE(at::equal(or_zero(recomputed.of_weight), or_zero(plain.of_weight)));
  }
}

TEST(RecomputeTest, InputsThatNeedNoGradientGetNoneAndParametersStillDo) {
  const at::Tensor weight = randn64({4, 4}).requires_grad_(), x = randn64({3, 4}), y = randn64({3, 4});
  const TensorList outputs = recompute([&](const TensorList& in) { return mix(weight, in); }, {x, y});
  torch::autograd::backward({outputs[0].sum()}, {});
  EXPECT_FALSE(x.grad().defined());
  EXPECT_TRUE(weight.grad().defined());
}

TEST(RecomputeTest, TheLayerRunsAgainInTheBackwardOnly) {
  const at::Tensor x = randn64({2}).requires_grad_();
  int runs = 0;
  auto layer = [&](const TensorList& in) {
    ++runs;
    return TensorList{in[0].sin()};
  };
  const at::Tensor y = recompute(layer, {x})[0];
  EXPECT_EQ(runs, 1);
  torch::autograd::backward({y.sum()}, {});
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(at::equal(x.grad(), x.detach().cos()));
}

}  // namespace
}  // namespace hici::nn
