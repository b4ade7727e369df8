// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/schedule.h"

#include "hici/base/error.h"

#include <gtest/gtest.h>

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

TEST(ScheduleTest, UnknownNameIsAUsageError) {
  EXPECT_THROW(parse_enum<ScheduleKind>("polynomial", "`lr_scheduler_type`"), UsageError);
}

}  // namespace
}  // namespace hici::optim
