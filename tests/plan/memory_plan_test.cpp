// SPDX-License-Identifier: Apache-2.0
// The plan against the bytes that LibTorch's CPU allocator gives out during a step.
#include "hici/plan/memory_plan.h"

#include "hici/hierarchy/hierarchy.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/train/gradient_accumulator.h"
#include "support/counted_memory.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

namespace hici::plan {
namespace {

using nn::ActivationPolicy;
using nn::AttentionKind;

struct Case {
  const char* name;
  config::Family family;
  AttentionKind attention;
  config::CausalMode mode = config::CausalMode::kNone;
  bool tied = false;
  int64_t intermediate = 176;  // with 16 attention's backward is the largest moment of a layer
  ops::AttentionBackend backend = ops::AttentionBackend::kAuto;
  int64_t tokens = 2048;
};

constexpr Case kCases[] = {
    {"LlamaHici", config::Family::kLlama, AttentionKind::kHici},
    {"LlamaHiciCausal", config::Family::kLlama, AttentionKind::kHici, config::CausalMode::kCausalGi},
    {"LlamaHiciShifted", config::Family::kLlama, AttentionKind::kHici, config::CausalMode::kCausalShift},
    {"LlamaFull", config::Family::kLlama, AttentionKind::kFull},
    {"LlamaS2", config::Family::kLlama, AttentionKind::kS2},
    {"Qwen3Hici", config::Family::kQwen3, AttentionKind::kHici, config::CausalMode::kCausalGi},
    {"Qwen3Full", config::Family::kQwen3, AttentionKind::kFull},
    {"Qwen3S2", config::Family::kQwen3, AttentionKind::kS2},
    {"Qwen3Tied", config::Family::kQwen3, AttentionKind::kFull, config::CausalMode::kNone, true},
    {"LlamaHiciNarrow", config::Family::kLlama, AttentionKind::kHici, config::CausalMode::kNone, false, 16,
     ops::AttentionBackend::kAuto, 4096},
    {"Qwen3HiciNarrow", config::Family::kQwen3, AttentionKind::kHici, config::CausalMode::kCausalGi, false, 16,
     ops::AttentionBackend::kAuto, 4096},
    {"LlamaFullMath", config::Family::kLlama, AttentionKind::kFull, config::CausalMode::kNone, false, 176,
     ops::AttentionBackend::kMath, 1024},
    {"LlamaHiciMath", config::Family::kLlama, AttentionKind::kHici, config::CausalMode::kNone, false, 176,
     ops::AttentionBackend::kMath, 1024},
};

// Wide enough for the rows of tokens to dominate, as they do in a model that is worth a plan.
PlanProblem problem_of(const Case& c) {
  PlanProblem problem;
  config::ModelConfig& m = problem.model;
  m = testing::tiny_config({.vocabulary = 64,
                            .hidden = 64,
                            .layers = 4,
                            .heads = 4,
                            .kv_heads = c.family == config::Family::kLlama ? 4 : 2,
                            .positions = 4096},
                           c.family);
  m.intermediate_size = c.intermediate;
  m.tie_word_embeddings = c.tied;
  problem.shape = {1, c.tokens, c.attention, c.tokens / 4, {}, 4, false};
  if (c.attention == AttentionKind::kHici) {
    config::HiciConfig hici;
    hici.num_local_slots = hici.global_slots = hici.num_heads = 2;
    hici.bottleneck_dim = 16;
    hici.shared_compress_dim = 8;
    hici.causal_mode = c.mode;
    problem.shape.hici = hici;
  }
  problem.on_gpu = false;
  problem.whole_scores = c.backend == ops::AttentionBackend::kMath;
  return problem;
}

nn::CausalLm model_of(PlanProblem& problem) {
  nn::CausalLm model(problem.model, {});
  if (problem.shape.hici) hierarchy::attach_hierarchy(model, *problem.shape.hici, {});
  model.add_lora({.rank = problem.shape.lora_rank});
  model.visit_parameters([](const std::string&, at::Tensor& t) { t = at::randn(t.sizes()) * 0.1; });
  optim::select_trainable(model, {});
  problem.parameters = count_parameters(model);
  problem.shape.trains_head = problem.parameters.trains_head;
  return model;
}

struct Seen {
  int64_t kept = 0;  // at the end of the forward pass, the hidden states included
  int64_t peak = 0;  // of the step
};

Seen run_step(const nn::CausalLm& model, const StepShape& shape, const nn::ForwardOptions& forward) {
  const at::Tensor tokens = at::randint(64, {shape.batch, shape.tokens}, at::kLong);
  testing::CountedMemory memory;
  Seen seen;
  at::Tensor loss;
  {
    const at::Tensor hidden = model.forward_hidden(tokens, forward);
    seen.kept = memory.live();
    loss = ops::linear_cross_entropy(hidden.view({-1, hidden.size(-1)}), model.head_weight(), tokens.view(-1));
  }
  torch::autograd::backward({loss}, {});
  seen.peak = memory.peak();
  return seen;
}

class MemoryPlanTest : public ::testing::TestWithParam<std::tuple<Case, ActivationPolicy>> {};

TEST_P(MemoryPlanTest, ActivationsAndPeakAreWhatTheAllocatorGives) {
  const auto& [c, policy] = GetParam();
  PlanProblem problem = problem_of(c);
  nn::CausalLm model = model_of(problem);
  const nn::ActivationPolicies policies(4, policy);
  const MemoryPlan plan = plan_memory(problem, policies);
  const nn::ForwardOptions forward{c.attention, problem.shape.segment_length, {}, policies, c.backend};
  run_step(model, problem.shape, forward);  // LibTorch makes a few things once
  model.visit_parameters([](const std::string&, at::Tensor& t) { t.mutable_grad().reset(); });
  const Seen seen = run_step(model, problem.shape, forward);

  const int64_t hidden = c.tokens * 64 * 4, tokens = 16 * c.tokens;
  const auto kept = static_cast<double>(plan.kept + hidden);
  // What is kept is counted tensor by tensor; the small ones of the hierarchy are rounded.
  EXPECT_NEAR(kept, static_cast<double>(seen.kept), 0.02 * static_cast<double>(seen.kept));
  // Weights and tokens were there before. Temporaries inside an op are those of its largest moment only.
  const MemoryGroups& groups = plan.peak.groups;
  const auto peak = static_cast<double>(groups.total() - groups.weights - groups.optimizer - tokens);
  EXPECT_NEAR(peak, static_cast<double>(seen.peak), 0.05 * static_cast<double>(seen.peak)) << plan.peak.name;
}

// So few tokens that gradients are most of a step: those of the micro-batch before stand in their sums, and those of
// this one beside them until they are added, in float32 as in every type.
TEST(AccumulationPlanTest, SumsAndTheGradientsOfAMicroBatchAreBothCounted) {
  PlanProblem problem =
      problem_of({.name = "", .family = config::Family::kLlama, .attention = AttentionKind::kFull, .tokens = 16});
  problem.model.vocab_size = 8192;
  problem.model.intermediate_size = 4096;
  problem.accumulation_steps = 2;
  nn::CausalLm model(problem.model, {});
  model.add_lora({.rank = problem.shape.lora_rank, .targets = {"q_proj"}});
  model.visit_parameters([](const std::string&, at::Tensor& t) { t = at::randn(t.sizes()) * 0.1; });
  train::GradientAccumulator gradients(
      optim::select_trainable(model, {.low_rank = true, .name_parts = {"embed", "mlp"}}));
  problem.parameters = count_parameters(model);
  const MemoryPlan plan = plan_memory(problem, {});

  const at::Tensor tokens = at::randint(64, {1, 16}, at::kLong);
  const testing::CountedMemory memory;
  for (int micro_batch = 0; micro_batch < 2; ++micro_batch) {
    const at::Tensor hidden = model.forward_hidden(tokens, {});
    const at::Tensor loss = ops::linear_cross_entropy(hidden.flatten(0, 1), model.head_weight(), tokens.view(-1));
    torch::autograd::backward({loss}, {});
    gradients.collect();
  }
  const MemoryGroups& groups = plan.peak.groups;
  const auto peak = static_cast<double>(groups.total() - groups.weights - groups.optimizer);
  EXPECT_NEAR(peak, static_cast<double>(memory.peak()), 0.05 * peak) << plan.peak.name;
}

INSTANTIATE_TEST_SUITE_P(All, MemoryPlanTest,
                         ::testing::Combine(::testing::ValuesIn(kCases),
                                            ::testing::Values(ActivationPolicy::kKeep, ActivationPolicy::kRecomputeMlp,
                                                              ActivationPolicy::kRecompute)),
                         [](const auto& each) {
                           return std::string(std::get<0>(each.param).name) + "_" + name_of(std::get<1>(each.param));
                         });

}  // namespace
}  // namespace hici::plan
