// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/activation_policy.h"

#include "hici/base/error.h"
#include "hici/hierarchy/hierarchy.h"
#include "hici/nn/causal_lm.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

namespace hici::nn {
namespace {

constexpr int64_t kLayers = 3, kSegment = 4;

struct Outcome {
  at::Tensor hidden;
  TensorList gradients;
};

CausalLm random_model(config::Family family, AttentionKind attention) {
  config::ModelConfig config = testing::tiny_config(
      {.vocabulary = 32, .hidden = 16, .layers = kLayers, .heads = 4, .kv_heads = 2, .positions = 64}, family);
  config::HiciConfig hici;
  hici.num_segments = hici.num_heads = hici.num_local_slots = hici.global_slots = hici.shared_compress_dim = 2;
  hici.bottleneck_dim = 4;
  hici.causal_mode = config::CausalMode::kCausalGi;
  CausalLm model(config, {at::kDouble});
  if (attention == AttentionKind::kHici) hierarchy::attach_hierarchy(model, hici, {at::kDouble});
  model.add_lora({.rank = 2, .alpha = 4, .targets = {"q_proj", "v_proj"}});
  at::manual_seed(1);
  model.visit_parameters(
      [](const std::string&, at::Tensor& t) { t = (at::randn(t.sizes(), at::kDouble) * 0.3).requires_grad_(true); });
  return model;
}

// The whole sequence at once, or its second segment after its first, which gets no gradient: with both, the gradients
// of a parameter are four sums that the two ways add in another order.
at::Tensor hidden_of(const CausalLm& model, AttentionKind attention, const ActivationPolicies& policies, bool streams) {
  const at::Tensor tokens = at::arange(16, at::kLong).view({2, 8});
  if (!streams) return model.forward_hidden(tokens, {attention, kSegment, {}, policies});
  auto segment = [&](int64_t i) {
    return Segment{tokens.narrow(1, i * kSegment, kSegment), i, {}, model.rotary_frequencies()};
  };
  ModelState state;
  {
    const at::NoGradGuard no_grad;
    state = model.forward_segment(segment(0), model.empty_state(2)).after;
  }
  return model.forward_segment(segment(1), state, policies).hidden_BSC;
}

Outcome run(config::Family family, AttentionKind attention, const ActivationPolicies& policies, bool streams) {
  CausalLm model = random_model(family, attention);
  Outcome out{hidden_of(model, attention, policies, streams), {}};
  torch::autograd::backward({out.hidden.pow(3).sum()}, {});
  model.visit_parameters([&](const std::string& name, at::Tensor& t) {
    if (name != "lm_head.weight") out.gradients.push_back(t.grad());  // there is no loss
  });
  return out;
}

// The same operations on the same values, whatever is kept: equal to the last bit.
TEST(ActivationPolicyTest, EveryPolicyAndEveryMixGivesTheGradientsOfKeep) {
  at::set_num_threads(1);  // tensors of a few hundred values
  using enum ActivationPolicy;
  const std::vector<ActivationPolicies> choices{{kRecomputeMlp, kRecomputeMlp, kRecomputeMlp},
                                                {kRecompute, kRecompute, kRecompute},
                                                {kOffload, kOffload, kOffload},
                                                {kOffload, kRecomputeMlp, kKeep},
                                                {kKeep, kRecompute, kRecomputeMlp}};
  for (const config::Family family : {config::Family::kLlama, config::Family::kQwen3}) {
    for (const auto& [attention, streams] :
         {std::pair{AttentionKind::kHici, false}, {AttentionKind::kHici, true}, {AttentionKind::kFull, false}}) {
      const Outcome kept = run(family, attention, {}, streams);
      for (const ActivationPolicies& policies : choices) {
        SCOPED_TRACE(::testing::Message() << hici::name_of(family) << " " << attention_kind_name(attention)
                                          << " streams " << streams << ": " << describe(policies, kLayers));
        const Outcome other = run(family, attention, policies, streams);
        EXPECT_TRUE(at::equal(other.hidden, kept.hidden));
        for (size_t i = 0; i < kept.gradients.size(); ++i) {
          ASSERT_TRUE(kept.gradients[i].defined() && other.gradients[i].defined()) << i;
          EXPECT_TRUE(at::equal(other.gradients[i], kept.gradients[i])) << i;
        }
      }
    }
  }
}

TEST(ActivationPolicyTest, NamesAreReadAndMixesAreCounted) {
  using enum ActivationPolicy;
  for (const ActivationPolicy policy : {kKeep, kRecomputeMlp, kRecompute, kOffload}) {
    EXPECT_EQ(parse_enum<ActivationPolicy>(name_of(policy), "--activation_policy"), policy);
  }
  EXPECT_THROW(parse_enum<ActivationPolicy>("some", "--activation_policy"), UsageError);
  EXPECT_EQ(describe({}, 4), "keep");
  EXPECT_EQ(describe({kRecompute, kRecompute}, 2), "recompute");
  EXPECT_EQ(describe({kOffload, kRecompute, kKeep, kKeep}, 4), "keep 2, recompute 1, offload 1");
}

}  // namespace
}  // namespace hici::nn
