// SPDX-License-Identifier: Apache-2.0
// Counted by hand for Llama-2-7B and Llama-3-70B; W trained parameters, F frozen matrices, L layers.
#include "hici/plan/step_traffic.h"

#include "hici/bench/bench_spec.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hici::plan {
namespace {

constexpr double kW = 534622240, kF = 6476005376, kL = 32;  // of Llama-2-7B with LoRA, embedding, norms and HiCI

PlanProblem llama2_7b(int64_t world, int64_t segments) {
  const bench::BenchModel model = bench::find_bench_model("llama2-7b", "model");
  PlanProblem problem;
  problem.model = model.config;
  problem.shape = {1, 65536, nn::AttentionKind::kHici, 8192, model.hici, 8, false};
  problem.dtype = at::kBFloat16;
  problem.parameters = count_parameters(model.config, model.hici, {}, {});
  problem.mesh = parallel::make_mesh(world, segments, "segments");
  return problem;
}

TEST(StepTrafficTest, GradientsAndWeightsOnceAStep) {
  PlanProblem problem = llama2_7b(4, 1);
  ASSERT_EQ(problem.parameters.trained, kW);
  StepTraffic traffic = count_step_traffic(problem, {});
  EXPECT_DOUBLE_EQ(traffic.gradients, 4 * kW * 3 / 4);
  EXPECT_DOUBLE_EQ(traffic.weights, 2 * kW * 3 / 4);
  EXPECT_EQ(traffic.frozen + traffic.slots + traffic.host, 0);
  problem.accumulation_steps = 8;
  EXPECT_DOUBLE_EQ(count_step_traffic(problem, {}).total(), traffic.total());
  problem.sharding.kind = config::ShardKind::kNone;  // an all-reduce sends twice
  traffic = count_step_traffic(problem, {});
  EXPECT_DOUBLE_EQ(traffic.gradients, 2 * 4 * kW * 3 / 4);
  EXPECT_EQ(traffic.weights, 0);
}

TEST(StepTrafficTest, SlotsInEachLayerAndPass) {
  PlanProblem problem = llama2_7b(2, 2);
  const double one = 2 * 8 * 8 * 4096;  // bfloat16, 8 segments of 8 slots
  EXPECT_DOUBLE_EQ(count_step_traffic(problem, {}).slots, 2 * kL * one / 2);
  const nn::ActivationPolicies recompute(32, nn::ActivationPolicy::kRecompute);
  EXPECT_DOUBLE_EQ(count_step_traffic(problem, recompute).slots, 3 * kL * one / 2);
  problem.stream_segments = true;
  problem.shape.hici->causal_mode = config::CausalMode::kCausalGi;
  const double sums = 2 * 4 * 4 * 4096;  // of two processes, four float32 sums each
  // Four rounds: three forward for their states, four forward and backward.
  EXPECT_DOUBLE_EQ(count_step_traffic(problem, {}).slots, (3 + 4 + 4) * kL * sums / 2);
}

TEST(StepTrafficTest, FrozenWeightsInEachForwardAndBackward) {
  PlanProblem problem = llama2_7b(8, 1);
  ASSERT_EQ(problem.parameters.frozen_matrices, kF);
  problem.sharding = {.kind = config::ShardKind::kFull, .group_size = 4};
  problem.accumulation_steps = 3;
  const double fills = 2 * 3 * (kL - 2);  // two layers are there where a pass turns round
  EXPECT_DOUBLE_EQ(count_step_traffic(problem, {}).frozen, fills * 2 * kF / kL * 3 / 4);
  problem.sharding.offload_weights = problem.sharding.offload_optimizer = true;
  EXPECT_DOUBLE_EQ(count_step_traffic(problem, {}).host, fills * 2 * kF / kL / 4 + std::floor(12 * kW / 8));
}

TEST(StepTrafficTest, WhatComputingHidesCostsNothing) {
  PlanProblem problem = llama2_7b(2, 1);
  problem.sharding.kind = config::ShardKind::kFull;
  LinkRates rates = kNvlinkRates;
  const double with_link = predict_step(problem, {}, rates).efficiency();
  EXPECT_GT(with_link, 0.98);  // 65,536 tokens hide the gathering of a layer
  rates.bytes_per_second /= 100;
  rates.group_bytes_per_second /= 100;
  EXPECT_LT(predict_step(problem, {}, rates).efficiency(), 0.8);
  problem.mesh = {};
  problem.sharding = {};
  EXPECT_EQ(predict_step(problem, {}, rates).efficiency(), 1);
}

TEST(ProcessesPlanTest, OptimizerAndFrozenWeightsAreCut) {
  PlanProblem problem = llama2_7b(1, 1);
  const auto all = static_cast<double>(problem.parameters.all);
  const MemoryPlan alone = plan_memory(problem, {});
  problem.mesh = parallel::make_mesh(8, 1, "segments");
  MemoryPlan plan = plan_memory(problem, {});
  EXPECT_DOUBLE_EQ(static_cast<double>(plan.peak.groups.optimizer), 12 * kW / 8);
  EXPECT_EQ(plan.peak.groups.weights, alone.peak.groups.weights);
  problem.sharding.kind = config::ShardKind::kFull;
  plan = plan_memory(problem, {});
  EXPECT_DOUBLE_EQ(static_cast<double>(plan.peak.groups.weights), 2 * (all - kF + kF / 8 + 2 * kF / kL));
  problem.sharding.offload_weights = true;
  plan = plan_memory(problem, {});
  EXPECT_DOUBLE_EQ(static_cast<double>(plan.peak.groups.weights), 2 * (all - kF + 2 * kF / kL));
  EXPECT_EQ(plan.host, 32 * (int64_t{64} << 20));  // 50.6 MB of each layer, in blocks of a power of two
}

// A process has its segments alone.
TEST(ProcessesPlanTest, ActivationsAreThoseOfOneProcessWithItsSegments) {
  PlanProblem shared = llama2_7b(2, 2), alone = llama2_7b(1, 1);
  alone.shape.tokens /= 2;
  EXPECT_EQ(plan_memory(shared, {}).kept_by_layers, plan_memory(alone, {}).kept_by_layers);
  shared.mesh = parallel::make_mesh(3, 3, "segments");  // eight segments: three, three and two
  alone.shape.tokens = 3 * 8192;
  EXPECT_EQ(plan_memory(shared, {}).kept_by_layers, plan_memory(alone, {}).kept_by_layers);
}

}  // namespace
}  // namespace hici::plan
