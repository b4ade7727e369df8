// SPDX-License-Identifier: Apache-2.0
// Marks of parts: through forward, backward and recomputation, and without a trace in the numbers.
#include "hici/device/profile.h"

#include "hici/hierarchy/hierarchy.h"
#include "hici/nn/recompute.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace hici::device {
namespace {

constexpr int64_t kForwardMs = 20, kBackwardMs = 40;

void sleep_ms(int64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// Twice its input, taking known times. A sleep is never shorter than asked for, so that a part whose time is below the
// sum of its sleeps has lost one of them to another part.
class Sleeper : public torch::autograd::Function<Sleeper> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& x) {
    sleep_ms(kForwardMs);
    return x * 2;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 const torch::autograd::variable_list& grads) {
    sleep_ms(kBackwardMs);
    return {grads[0] * 2};
  }
};

at::Tensor sleeper(const at::Tensor& x) { return Sleeper::apply(x); }
at::Tensor sleeping_sum(const at::Tensor& x, const at::Tensor& y) { return Sleeper::apply(x + y); }

double ms_of(const PartSeconds& seconds, Part part) { return seconds[static_cast<size_t>(part)] * 1e3; }

// One forward of each: attention (of two inputs), linear, rest.
at::Tensor three_parts(const at::Tensor& x) {
  const at::Tensor attended = profiled(Part::kAttention, sleeping_sum, x, x * 3);
  return sleeper(profiled(Part::kLinear, sleeper, attended));
}

TEST(ProfileTest, BackwardGoesToThePartOfItsForward) {
  const at::Tensor x = at::ones({2}).requires_grad_(true);
  Profile profile(at::kCPU);
  torch::autograd::backward({three_parts(x).sum()}, {});
  const PartSeconds seconds = profile.finish();
  for (const Part part : {Part::kAttention, Part::kLinear, Part::kRest}) {
    EXPECT_GE(ms_of(seconds, part), kForwardMs + kBackwardMs);
  }
  EXPECT_EQ(ms_of(seconds, Part::kHici) + ms_of(seconds, Part::kLoss) + ms_of(seconds, Part::kOptimizer), 0);
  EXPECT_EQ(x.grad()[0].item<double>(), 32);  // (1 + 3) * 2 * 2 * 2
}

TEST(ProfileTest, RecomputedForwardGoesToItsPartToo) {
  const at::Tensor x = at::ones({2}).requires_grad_(true);
  Profile profile(at::kCPU);
  auto twice = [](const nn::TensorList& in) { return nn::TensorList{three_parts(in[0])}; };
  torch::autograd::backward({nn::recompute(twice, nn::recompute(twice, {x}))[0].sum()}, {});
  const PartSeconds seconds = profile.finish();
  for (const Part part : {Part::kAttention, Part::kLinear, Part::kRest}) {
    EXPECT_GE(ms_of(seconds, part), 2 * (2 * kForwardMs + kBackwardMs));
  }
  EXPECT_EQ(x.grad()[0].item<double>(), 32 * 32);
}

TEST(ProfileTest, TheOutermostPartCounts) {
  const at::Tensor x = at::ones({2}).requires_grad_(true);
  Profile profile(at::kCPU);
  const at::Tensor y =
      profiled(Part::kHici, [](const at::Tensor& t) { return profiled(Part::kLinear, sleeper, sleeper(t)); }, x);
  torch::autograd::backward({y.sum()}, {});
  const PartSeconds seconds = profile.finish();
  EXPECT_GE(ms_of(seconds, Part::kHici), 2 * (kForwardMs + kBackwardMs));
  EXPECT_EQ(ms_of(seconds, Part::kLinear), 0);
}

TEST(ProfileTest, WithoutGradientsTheForwardIsStillSplit) {
  const at::NoGradGuard no_grad;
  Profile profile(at::kCPU);
  profiled(Part::kLoss, sleeper, at::ones({2}));
  profiled(Part::kOptimizer, [] {
    sleep_ms(kForwardMs);
    return at::Tensor();
  });
  const PartSeconds seconds = profile.finish();
  EXPECT_GE(ms_of(seconds, Part::kLoss), kForwardMs);
  EXPECT_GE(ms_of(seconds, Part::kOptimizer), kForwardMs);
}

TEST(ProfileTest, AGraphMayOutliveItsProfile) {
  const at::Tensor x = at::ones({2}).requires_grad_(true);
  at::Tensor y;
  {
    Profile profile(at::kCPU);
    y = three_parts(x);
  }
  torch::autograd::backward({y.sum()}, {});
  EXPECT_EQ(x.grad()[0].item<double>(), 32);
}

TEST(ProfileTest, NoProfileMeansNoNodes) {
  const at::Tensor x = at::ones({2}).requires_grad_(true);
  const auto same = [](const at::Tensor& t) { return t; };
  EXPECT_EQ(profiled(Part::kLinear, same, x).grad_fn(), nullptr);
  Profile profile(at::kCPU);
  EXPECT_NE(profiled(Part::kLinear, same, x).grad_fn(), nullptr);
}

// A small model with a hierarchy, its loss and all gradients.
std::vector<at::Tensor> gradients_of_model(nn::AttentionKind attention, bool recompute) {
  config::ModelConfig config =
      testing::tiny_config({.vocabulary = 32, .hidden = 16, .layers = 2, .heads = 4, .kv_heads = 2, .positions = 64});
  config::HiciConfig hici;
  hici.num_segments = hici.num_heads = hici.num_local_slots = hici.global_slots = hici.shared_compress_dim = 2;
  hici.bottleneck_dim = 4;
  hici.causal_mode = config::CausalMode::kCausalShift;
  nn::CausalLm model(config, {at::kDouble});
  hierarchy::attach_hierarchy(model, hici, {at::kDouble});
  model.add_lora({.rank = 2, .alpha = 4, .targets = {"q_proj", "v_proj"}});
  at::manual_seed(1);
  std::vector<at::Tensor> parameters;
  model.visit_parameters([&](const std::string&, at::Tensor& t) {
    t = (at::randn(t.sizes(), at::kDouble) * 0.3).requires_grad_(true);
    parameters.push_back(t);
  });
  const at::Tensor tokens = at::randint(32, {2, 8}, at::kLong);
  const nn::ActivationPolicies policies(recompute ? model.layers().size() : 0, nn::ActivationPolicy::kRecompute);
  const at::Tensor hidden = model.forward_hidden(tokens, {attention, 4, {}, policies});
  torch::autograd::backward({hidden.square().sum()}, {});
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters) gradients.push_back(parameter.grad());
  return gradients;
}

// Up to the order in which contributions to one gradient are added: those from inside a part are added first. 1e-12 of
// the largest value is some thousand roundings of float64.
TEST(ProfileTest, GradientsOfAModelAreTheSame) {
  for (const auto kind : {nn::AttentionKind::kHici, nn::AttentionKind::kFull, nn::AttentionKind::kS2}) {
    for (const bool recompute : {false, true}) {
      const std::vector<at::Tensor> expected = gradients_of_model(kind, recompute);
      Profile profile(at::kCPU);
      const std::vector<at::Tensor> got = gradients_of_model(kind, recompute);
      const PartSeconds seconds = profile.finish();
      EXPECT_GT(ms_of(seconds, Part::kAttention), 0);
      EXPECT_EQ(ms_of(seconds, Part::kHici) > 0, kind == nn::AttentionKind::kHici);
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(got[i].defined(), expected[i].defined()) << i;
        if (!got[i].defined()) continue;
        const double largest = expected[i].abs().max().item<double>();
        EXPECT_LE((got[i] - expected[i]).abs().max().item<double>(), 1e-12 * largest) << i;
      }
    }
  }
}

}  // namespace
}  // namespace hici::device
