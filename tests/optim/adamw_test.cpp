// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/adamw.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

namespace hici::optim {
namespace {

TrainedParameter parameter(const char* name, const at::Tensor& values, GroupKind group, bool decays = false) {
  return {name, values.clone().requires_grad_(), group, decays};
}

// The update as make_golden.py and torch.optim.AdamW write it, for one number.
double expected_update(double p, const std::vector<double>& gradients, double rate, double decay) {
  double m = 0, v = 0;
  for (size_t step = 1; step <= gradients.size(); ++step) {
    const double g = gradients[step - 1], t = static_cast<double>(step);
    p -= rate * decay * p;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    p -= rate * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
  }
  return p;
}

TEST(AdamWTest, StateHoldsTwoMomentsAndAMasterOnlyForNarrowTypes) {
  const at::Tensor wide = at::ones({2, 2}), narrow = at::ones({2, 2}, at::TensorOptions().dtype(at::kBFloat16));
  AdamW optimizer({parameter("a", wide, GroupKind::kHici), parameter("b", narrow, GroupKind::kRest)}, {});
  std::vector<std::string> names;
  optimizer.visit_state([&](const std::string& name, at::Tensor&) { names.push_back(name); });
  EXPECT_EQ(names, (std::vector<std::string>{"exp_avg.a", "exp_avg_sq.a", "exp_avg.b", "exp_avg_sq.b", "master.b"}));
}

TEST(AdamWTest, MatchesTheFormulaNumberByNumber) {
  // What is decayed is said, not read off the shape: a is a flat shard of a matrix.
  const auto kDouble = at::TensorOptions().dtype(at::kDouble);
  TrainedParameter a = parameter("a", at::full({1}, 0.7, kDouble), GroupKind::kHici, /*decays=*/true);
  TrainedParameter b = parameter("b", at::full({1, 1}, 0.7, kDouble), GroupKind::kRest, /*decays=*/false);
  AdamW optimizer({a, b}, {.weight_decay = 0.1});
  for (const double g : {0.3, -0.2, 0.9}) {
    optimizer.step({at::full({1}, g, kDouble), at::full({1, 1}, g, kDouble)}, {0.01, 0.02});
  }
  EXPECT_NEAR(a.tensor.item<double>(), expected_update(0.7, {0.3, -0.2, 0.9}, 0.01, 0.1), 1e-13);
  EXPECT_NEAR(b.tensor.item<double>(), expected_update(0.7, {0.3, -0.2, 0.9}, 0.02, 0.0), 1e-13);
}

// A bf16 weight of 1 cannot take steps of 1e-4: only a float32 master adds them up.
TEST(AdamWTest, MasterWeightsKeepStepsThatBf16WouldLose) {
  TrainedParameter a = parameter("a", at::ones({1, 1}, at::TensorOptions().dtype(at::kBFloat16)), GroupKind::kRest);
  AdamW optimizer({a}, {});
  for (int i = 0; i < 100; ++i) optimizer.step({at::ones({1, 1})}, {0, 1e-4});
  EXPECT_NEAR(a.tensor.item<float>(), 0.99f, 4e-3f);  // the spacing of bf16 below 1
}

// Sizes around a piece, several of them in one and one over several; two groups, decay and none, a missing gradient.
void expect_same_numbers_on_host(at::ScalarType type) {
  const int64_t piece = HostState::kPieceElements;
  at::manual_seed(5);
  std::vector<at::Tensor> values, gradients;
  for (const int64_t size : {int64_t{7}, piece + 3, int64_t{1000}, piece / 2}) {
    values.push_back(at::randn({size}).to(type));
    gradients.push_back(at::randn({size}));
  }
  gradients[2] = at::Tensor();
  const auto run = [&](bool on_host) {
    std::vector<TrainedParameter> parameters;
    for (size_t i = 0; i < values.size(); ++i) {
      const std::string name(1, static_cast<char>('a' + i));
      parameters.push_back(parameter(name.c_str(), values[i], i % 2 == 0 ? GroupKind::kHici : GroupKind::kRest, i > 1));
    }
    AdamW optimizer(parameters, {.weight_decay = 0.1, .state_on_host = on_host});
    for (int step = 0; step < 2; ++step) optimizer.step(gradients, {0.01, 0.02});
    std::map<std::string, at::Tensor> result;
    optimizer.visit_state([&](const std::string& name, at::Tensor& t) { result[name] = t; });
    for (const TrainedParameter& each : parameters) result[each.name] = each.tensor.detach();
    return result;
  };
  const auto here = run(false), there = run(true);
  ASSERT_EQ(here.size(), there.size());
  for (const auto& [name, tensor] : here) EXPECT_TRUE(at::equal(tensor, there.at(name))) << name;
}

TEST(AdamWTest, StateInHostMemoryGivesTheSameNumbers) {
  expect_same_numbers_on_host(at::kFloat);
  expect_same_numbers_on_host(at::kBFloat16);
}

}  // namespace
}  // namespace hici::optim
