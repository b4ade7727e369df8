// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/schedule.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace hici::optim {
namespace {

TEST(ScheduleTest, WarmupStartsAtZeroAndReachesOne) {
  const Schedule schedule{ScheduleKind::kConstantWithWarmup, 4, 20};
  EXPECT_DOUBLE_EQ(schedule.factor(1), 0.0);
  EXPECT_DOUBLE_EQ(schedule.factor(3), 0.5);
  EXPECT_DOUBLE_EQ(schedule.factor(5), 1.0);
  EXPECT_DOUBLE_EQ(schedule.factor(20), 1.0);
}

// Values of transformers' get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup for 2 of 10 steps.
TEST(ScheduleTest, LinearAndCosineFallAsInTransformers) {
  const Schedule linear{ScheduleKind::kLinear, 2, 10}, cosine{ScheduleKind::kCosine, 2, 10};
  EXPECT_DOUBLE_EQ(linear.factor(2), 0.5);
  EXPECT_DOUBLE_EQ(linear.factor(3), 1.0);
  EXPECT_DOUBLE_EQ(linear.factor(5), 0.75);
  EXPECT_NEAR(cosine.factor(7), 0.5, 1e-15);
  EXPECT_NEAR(cosine.factor(5), 0.8535533905932737, 1e-15);
}

void expect_factors(const Schedule& schedule, const std::vector<double>& expected) {
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(schedule.factor(static_cast<int64_t>(i) + 1), expected[i], 1e-14) << "step " << i + 1;
}

// The values below are those of transformers 5.23, get_scheduler() for 10 steps.
TEST(ScheduleTest, CosinesAreThoseOfTransformers) {
  expect_factors({.kind = ScheduleKind::kCosine, .warmup_steps = 2, .total_steps = 10, .num_cycles = 1},
                 {0, 0.5, 1, 0.853553390593274, 0.5, 0.146446609406726, 0, 0.146446609406726, 0.5, 0.853553390593274});
  expect_factors({.kind = ScheduleKind::kCosineWithRestarts, .warmup_steps = 2, .total_steps = 10, .num_cycles = 3},
                 {0, 0.5, 1, 0.691341716182545, 0.146446609406726, 0.961939766255643, 0.5, 0.0380602337443566,
                  0.853553390593274, 0.308658283817455});
  expect_factors({.kind = ScheduleKind::kCosineWithMinLr, .warmup_steps = 2, .total_steps = 10, .lowest = 0.2},
                 {0, 0.5, 1, 0.969551813004515, 0.882842712474619, 0.753073372946036, 0.6, 0.446926627053964,
                  0.317157287525381, 0.230448186995485});
  Schedule early{.kind = ScheduleKind::kCosineWarmupWithMinLr, .warmup_steps = 3, .total_steps = 10, .lowest = 0.1};
  expect_factors(early, {0.333333333333333, 0.666666666666667, 1, 0.955435990556089, 0.83057041083643,
                         0.650134420280341, 0.449865579719659, 0.26942958916357, 0.144564009443911, 0.1});
  early.warmup_start = 0.2;
  expect_factors(early, {0.2, 0.6, 1, 0.955435990556089});
}

TEST(ScheduleTest, PolynomialAndInverseRootAreThoseOfTransformers) {
  expect_factors({.kind = ScheduleKind::kPolynomial, .warmup_steps = 2, .total_steps = 10, .power = 2, .lowest = 0.01},
                 {0, 0.5, 1, 0.76796875, 0.566875, 0.39671875, 0.2575, 0.14921875, 0.071875, 0.02546875});
  expect_factors({.kind = ScheduleKind::kInverseSqrt, .warmup_steps = 3, .total_steps = 10},
                 {0, 0.333333333333333, 0.666666666666667, 1, 0.866025403784439, 0.774596669241483, 0.707106781186547,
                  0.654653670707977, 0.612372435695794, 0.577350269189626});
  expect_factors({.kind = ScheduleKind::kInverseSqrt, .total_steps = 10, .timescale = 4},
                 {1, 0.894427190999916, 0.816496580927726, 0.755928946018454, 0.707106781186547});
}

TEST(ScheduleTest, WarmupStableDecayIsThatOfTransformers) {
  Schedule schedule{.kind = ScheduleKind::kWarmupStableDecay, .warmup_steps = 2, .total_steps = 10, .lowest = 0.1};
  schedule.decay_steps = 4;
  expect_factors(schedule, {0.1, 0.55, 1, 1, 1, 1, 1, 0.868198051533946, 0.55, 0.231801948466054});
  schedule = {.kind = ScheduleKind::kWarmupStableDecay, .warmup_steps = 3, .total_steps = 10};
  schedule.decay_steps = 3;
  schedule.stable_steps = 2;
  schedule.warmup_shape = schedule.decay_shape = RampShape::kOneMinusSqrt;
  expect_factors(schedule,
                 {0, 0.183503419072274, 0.422649730810374, 1, 1, 1, 0.422649730810374, 0.183503419072274, 0, 0});
  schedule = {.kind = ScheduleKind::kWarmupStableDecay, .warmup_steps = 3, .total_steps = 10};
  schedule.decay_steps = 4;
  schedule.warmup_shape = RampShape::kCosine;
  schedule.decay_shape = RampShape::kLinear;
  expect_factors(schedule, {0, 0.25, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25});
}

// transformers divides by zero after the last step of a polynomial that is all warm-up.
TEST(ScheduleTest, AWarmupAsLongAsTheRunIsARise) {
  for (const auto& each : names_of(ScheduleKind{}).all) {
    if (each.value == ScheduleKind::kConstant) continue;
    const Schedule schedule{.kind = each.value, .warmup_steps = 4, .total_steps = 4};
    const double first = each.value == ScheduleKind::kCosineWarmupWithMinLr ? 0.25 : 0;
    for (int64_t step = 1; step <= 4; ++step)
      EXPECT_DOUBLE_EQ(schedule.factor(step), first + static_cast<double>(step - 1) / 4) << each.name;
  }
}

TEST(ScheduleTest, SomeRatesDependOnTheEndOfTheRun) {
  std::string names;
  for (const auto& each : names_of(ScheduleKind{}).all)
    if (!Schedule{.kind = each.value}.depends_on_end()) names += std::string(each.name) + " ";
  EXPECT_EQ(names, "constant constant_with_warmup inverse_sqrt ");
  EXPECT_FALSE((Schedule{.kind = ScheduleKind::kWarmupStableDecay, .stable_steps = 3}.depends_on_end()));
}

}  // namespace
}  // namespace hici::optim
