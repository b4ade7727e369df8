// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/step_plan.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/plan/plan_alternatives.h"
#include "hici/plan/plan_text.h"
#include "support/error_message.h"
#include "support/tiny_config.h"

#include <gtest/gtest.h>

namespace hici::plan {
namespace {

using nn::ActivationPolicy;
using enum nn::ActivationPolicy;

constexpr int64_t kLayers = 6;

PlanProblem gpu_problem() {
  PlanProblem problem;
  config::ModelConfig& m = problem.model;
  m = testing::tiny_config(
      {.vocabulary = 256, .hidden = 128, .layers = kLayers, .heads = 4, .kv_heads = 4, .positions = 4096});
  m.intermediate_size = 344;
  problem.shape = {1, 65536, nn::AttentionKind::kHici, 16384, {}, 4, false};
  config::HiciConfig hici;
  hici.num_heads = 4;
  hici.bottleneck_dim = 64;
  hici.causal_mode = config::CausalMode::kCausalGi;
  problem.shape.hici = hici;
  problem.dtype = at::kBFloat16;
  problem.parameters = count_parameters(m, hici, {}, {});
  return problem;
}

int64_t peak_of(const PlanProblem& problem, const nn::ActivationPolicies& policies) {
  return plan_memory(problem, policies).peak.groups.total();
}

nn::ActivationPolicies everywhere(ActivationPolicy policy) { return nn::ActivationPolicies(kLayers, policy); }

TEST(FitMemoryTest, EveryPolicyIsTakenWhereTheOneBeforeItDoesNotFit) {
  const PlanProblem problem = gpu_problem();
  const int64_t all = peak_of(problem, {});
  EXPECT_EQ(fit_memory(problem, all)->policies, everywhere(kKeep));
  // A byte less: the first layer's MLP is recomputed.
  nn::ActivationPolicies one = everywhere(kKeep);
  one.front() = kRecomputeMlp;
  EXPECT_EQ(fit_memory(problem, all - 1)->policies, one);
  // Recomputation of the last layer saves nothing: its backward pass comes first.
  nn::ActivationPolicies recomputed = everywhere(kRecompute);
  recomputed.back() = kKeep;
  const int64_t least_on_the_card = peak_of(problem, recomputed);
  EXPECT_EQ(fit_memory(problem, least_on_the_card)->policies, recomputed);
  const auto offloaded = fit_memory(problem, least_on_the_card - 1);
  ASSERT_TRUE(offloaded);
  EXPECT_EQ(offloaded->policies.front(), kOffload);
  EXPECT_EQ(offloaded->policies[1], kRecompute);
  EXPECT_GT(offloaded->host, 0);
  EXPECT_FALSE(fit_memory(problem, peak_of(problem, everywhere(kOffload)) / 2));
}

TEST(FitMemoryTest, APlanFitsItsBudgetAndLessMemoryMeansMoreWork) {
  const PlanProblem problem = gpu_problem();
  const int64_t most = peak_of(problem, {}), least = peak_of(problem, everywhere(kRecompute));
  double share = 0;
  for (int64_t i = 0; i <= 10; ++i) {
    const int64_t budget = most - (most - least) * i / 10;
    const auto plan = fit_memory(problem, budget);
    ASSERT_TRUE(plan) << i;
    EXPECT_LE(plan->peak.groups.total(), budget);
    EXPECT_GE(recomputed_share(problem, plan->policies), share);
    share = recomputed_share(problem, plan->policies);
  }
  EXPECT_DOUBLE_EQ(share, 5.0 / 6);  // all but the last layer
}

// A host that holds no more than one layer's input for each offloaded layer, in powers of two.
TEST(OffloadPlanTest, OffloadedInputsGoToTheHostAndNotToTheCard) {
  const PlanProblem problem = gpu_problem();
  const MemoryPlan plan = plan_memory(problem, everywhere(kOffload));
  EXPECT_EQ(plan.kept_by_layers, 0);
  EXPECT_EQ(plan.host, kLayers * 65536 * 128 * 2);
}

PlannedStep planned_for(const PlanProblem& problem, ActivationPolicy policy, int64_t budget, bool is_auto) {
  return {problem, plan_memory(problem, everywhere(policy)), budget, is_auto ? std::nullopt : std::optional(policy)};
}

// Beside the counted bytes a plan for a CPU says what it leaves out: the library of narrow types, and what the process
// has taken before.
TEST(StepPlanTest, OnACpuThePlanSaysWhatItDoesNotCount) {
  PlanProblem problem = gpu_problem();
  problem.on_gpu = false;
  problem.dtype = at::kFloat;
  const MemoryPlan plan = plan_memory(problem, everywhere(kKeep));
  const int64_t total = plan.peak.groups.total() + kProcessBytes;
  const std::string counted = human_bytes(total) + " in all with the process's own";
  EXPECT_EQ(describe_process(problem, plan, total), counted);
  EXPECT_EQ(describe_process(problem, plan, total + (int64_t{3} << 30)),
            counted + "; reading model and data has taken " + human_bytes(total + (int64_t{3} << 30)));
  problem.dtype = at::kBFloat16;
  const std::string narrow = describe_process(problem, plan_memory(problem, everywhere(kKeep)), 0);
  EXPECT_NE(narrow.find("; not counted: some 100 MiB of oneDNN, which multiplies in narrow types"), std::string::npos)
      << narrow;
}

TEST(StepPlanTest, NothingThatFitsIsOneLineWithWhatWould) {
  const PlanProblem problem = gpu_problem();
  const int64_t budget = peak_of(problem, everywhere(kOffload)) / 2;
  const std::string message =
      testing::error_message([&] { announce_plan(planned_for(problem, kOffload, budget, /*is_auto=*/true)); });
  EXPECT_NE(message.find("; what fits: `stream_segments` True ("), std::string::npos) << message;
  ASSERT_NE(message.find(", or `model_max_length` "), std::string::npos) << message;
  EXPECT_TRUE(testing::is_one_clean_line(message));
  // What it names does fit, and 256 tokens a segment more do not.
  const int64_t longest = std::stoll(message.substr(message.find("max_length` ") + 12));
  PlanProblem shorter = problem;
  shorter.shape.tokens = longest;
  shorter.shape.segment_length = longest / 4;
  EXPECT_TRUE(fit_memory(shorter, budget));
  shorter.shape.tokens = longest + 1024;
  shorter.shape.segment_length = shorter.shape.tokens / 4;
  EXPECT_FALSE(fit_memory(shorter, budget));
}

std::vector<std::string> options_of(const std::vector<Alternative>& found) {
  std::vector<std::string> options;
  for (const Alternative& each : found) options.push_back(each.options);
  return options;
}

TEST(PlanAlternativesTest, EachChangeThatIsNamedFitsAndTheOneBeforeItDoesNot) {
  PlanProblem problem = gpu_problem();
  problem.shape.hici->causal_mode = config::CausalMode::kNone;  // looks ahead, so it cannot be streamed
  problem.shape.batch = 2;
  const int64_t budget = peak_of(problem, everywhere(kOffload)) * 3 / 4;
  const std::vector<Alternative> found = alternatives_that_fit(problem, {}, budget);
  const std::vector<std::string> options = options_of(found);
  ASSERT_GE(options.size(), 3u);
  EXPECT_EQ(options[0], "`per_device_train_batch_size` 1 `gradient_accumulation_steps` 2");
  EXPECT_EQ(options[1], "`stream_segments` True `causal_mode` causal_gi");
  EXPECT_EQ(options.back().rfind("`model_max_length` ", 0), 0u);
  for (const Alternative& each : found) EXPECT_LE(each.plan.peak.groups.total(), budget) << each.options;
}

TEST(PlanAlternativesTest, SegmentsThatAreTooLongAreCutIntoMore) {
  PlanProblem problem = gpu_problem();
  problem.stream_segments = true;
  const int64_t budget = peak_of(problem, everywhere(kOffload)) / 2;
  const std::vector<Alternative> found = alternatives_that_fit(problem, {}, budget);
  ASSERT_FALSE(found.empty());
  ASSERT_EQ(found[0].options.rfind("`num_chunks` ", 0), 0u) << found[0].options;
  const int64_t segments = std::stoll(found[0].options.substr(13));
  problem.shape.segment_length = problem.shape.tokens / segments;
  EXPECT_TRUE(fit_memory(problem, budget));
  problem.shape.segment_length *= 2;
  EXPECT_FALSE(fit_memory(problem, budget));
}

TEST(PlanAlternativesTest, APolicyThatDoesNotFitIsAnsweredWithOnesThatDo) {
  const PlanProblem problem = gpu_problem();
  const int64_t budget = peak_of(problem, everywhere(kRecompute));
  const auto options = options_of(alternatives_that_fit(problem, kKeep, budget));
  ASSERT_GE(options.size(), 2u);
  EXPECT_EQ(options[0], "`activation_policy` auto");
  EXPECT_EQ(options[1], "`activation_policy` recompute");
}

TEST(PlanAlternativesTest, LessThatIsTrainedTakesLess) {
  PlanProblem problem = gpu_problem();
  problem.model.vocab_size = 200'000;
  problem.shape.tokens = 1024;
  problem.shape.segment_length = 256;
  problem.parameters = count_parameters(problem.model, problem.shape.hici, problem.lora, problem.trainable);
  const int64_t budget = peak_of(problem, everywhere(kOffload)) * 2 / 3;
  EXPECT_EQ(options_of(alternatives_that_fit(problem, {}, budget)),
            std::vector<std::string>{"`trainable_params` norm"});
  problem.trainable.low_rank = false;
  problem.parameters = count_parameters(problem.model, problem.shape.hici, problem.lora, problem.trainable);
  const int64_t whole = peak_of(problem, everywhere(kOffload));
  EXPECT_EQ(options_of(alternatives_that_fit(problem, {}, whole - 1)),
            (std::vector<std::string>{"`offload` optimizer", "`low_rank_training` True"}));
}

TEST(PlanAlternativesTest, WhereNoChangeIsEnoughAllOfThemTogetherMayBe) {
  PlanProblem problem = gpu_problem();
  problem.model.vocab_size = 200'000;
  problem.parameters = count_parameters(problem.model, problem.shape.hici, problem.lora, problem.trainable);
  PlanProblem lean = problem;
  lean.stream_segments = true;
  lean.trainable.name_parts = {"norm"};
  lean.parameters = count_parameters(lean.model, lean.shape.hici, lean.lora, lean.trainable);
  lean.shape.trains_head = lean.parameters.trains_head;
  const int64_t budget = peak_of(lean, everywhere(kOffload)) * 21 / 20;
  const auto options = options_of(alternatives_that_fit(problem, {}, budget));
  ASSERT_EQ(options.size(), 1u);
  EXPECT_EQ(options[0], "`trainable_params` norm `stream_segments` True");
}

TEST(StepPlanTest, AnAllocationThatFailsNamesStepSizePlanAndALeanerSetting) {
  const PlannedStep planned = planned_for(gpu_problem(), kKeep, int64_t{1} << 40, /*is_auto=*/false);
  const std::string message = describe_out_of_memory(
      planned, 7, "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB\nmore");
  EXPECT_EQ(message.rfind("step 7: out of memory: Tried to allocate 2.00 GiB; planned: activations keep; peak ", 0), 0u)
      << message;
  EXPECT_NE(message.find("use `activation_policy` recompute_mlp"), std::string::npos) << message;
  EXPECT_TRUE(testing::is_one_clean_line(message));
  const std::string last =
      describe_out_of_memory(planned_for(gpu_problem(), kOffload, int64_t{1} << 40, false), 1, "no");
  EXPECT_NE(last.find("what fits: `stream_segments` True ("), std::string::npos) << last;
}

TEST(StepPlanTest, OnACpuEverythingIsKeptUnlessAskedOtherwise) {
  PlanProblem problem = gpu_problem();
  problem.on_gpu = false;
  const PlannedStep step = plan_step(problem, {}, at::kCPU);
  EXPECT_EQ(step.plan.policies, everywhere(kKeep));
  EXPECT_TRUE(step.fits());
  EXPECT_EQ(plan_step(problem, kRecompute, at::kCPU).plan.policies, everywhere(kRecompute));
}

}  // namespace
}  // namespace hici::plan
