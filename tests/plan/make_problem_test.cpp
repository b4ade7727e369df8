// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/make_problem.h"

#include <gtest/gtest.h>

namespace hici::plan {
namespace {

PlanProblem stated(at::ScalarType dtype, nn::AttentionKind attention, int64_t segment_length) {
  PlanProblem problem;
  problem.model.head_dim = 128;
  problem.shape.tokens = 4096;
  problem.shape.attention = attention;
  problem.shape.segment_length = segment_length;
  problem.dtype = dtype;
  return problem;
}

TEST(MakeProblemTest, WhatFollowsFromTheRestIsFilledIn) {
  ParameterSizes parameters;
  parameters.trained = 7;
  parameters.trains_head = true;
  const PlanProblem problem =
      make_problem(stated(at::kBFloat16, nn::AttentionKind::kHici, 1024), parameters, std::nullopt);
  EXPECT_TRUE(problem.shape.trains_head);
  EXPECT_EQ(problem.parameters.trained, 7);
  EXPECT_TRUE(problem.on_gpu);
  EXPECT_FALSE(problem.whole_scores);
  EXPECT_EQ(problem.shape.segment_length, 1024);
}

TEST(MakeProblemTest, FlashAttentionOfAGpuTakes16BitsAndHeadsInStepsOf8) {
  const auto whole_scores = [](at::ScalarType dtype, int64_t head_dim) {
    PlanProblem problem = stated(dtype, nn::AttentionKind::kFull, 0);
    problem.model.head_dim = head_dim;
    return make_problem(problem, {}, std::nullopt).whole_scores;
  };
  EXPECT_FALSE(whole_scores(at::kBFloat16, 128));
  EXPECT_TRUE(whole_scores(at::kFloat, 128));
  EXPECT_TRUE(whole_scores(at::kBFloat16, 100));
  EXPECT_TRUE(whole_scores(at::kBFloat16, 512));
  EXPECT_FALSE(make_problem(stated(at::kFloat, nn::AttentionKind::kFull, 0), {}, at::kCPU).whole_scores);
}

TEST(MakeProblemTest, OneSegmentIsAsLongAsTheSequenceAndFullAttentionHasNone) {
  EXPECT_EQ(make_problem(stated(at::kFloat, nn::AttentionKind::kHici, 0), {}, at::kCPU).shape.segment_length, 4096);
  const PlanProblem full = make_problem(stated(at::kFloat, nn::AttentionKind::kFull, 1024), {}, at::kCPU);
  EXPECT_EQ(full.shape.segment_length, 0);
  EXPECT_FALSE(full.on_gpu);
}

}  // namespace
}  // namespace hici::plan
