// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/schedule_settings.h"

#include "hici/base/error.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

#include <string>

namespace hici::optim {
namespace {

config::TrainConfig settings(const std::string& schedule, const std::string& kwargs = "") {
  config::TrainConfig config;
  config.learning_rate = 1e-3;
  config.warmup_steps = 2;
  config.schedule = schedule;
  config.schedule_kwargs = kwargs;
  return config;
}

std::string error_of(const std::string& schedule, const std::string& kwargs = "") {
  const auto make = [&] { make_schedule(settings(schedule, kwargs), 10); };
  EXPECT_THROW(make(), UsageError) << schedule << " " << kwargs;
  return testing::error_message(make);
}

TEST(ScheduleSettingsTest, KwargsAreThoseOfTransformers) {
  EXPECT_EQ(make_schedule(settings("cosine"), 10).num_cycles, 0.5);
  EXPECT_EQ(make_schedule(settings("cosine_with_restarts"), 10).num_cycles, 1);
  EXPECT_EQ(make_schedule(settings("cosine_with_restarts", R"({"num_cycles": 3})"), 10).num_cycles, 3);
  EXPECT_EQ(make_schedule(settings("cosine_with_restarts", R"({"num_cycles": "3"})"), 10).num_cycles, 3);
  EXPECT_EQ(make_schedule(settings("polynomial", R"({"power": 2, "lr_end": 1e-5})"), 10).lowest, 0.01);
  EXPECT_DOUBLE_EQ(make_schedule(settings("polynomial"), 10).lowest, 1e-4);
  EXPECT_EQ(make_schedule(settings("inverse_sqrt", R"({"timescale": 50})"), 10).timescale, 50);
  EXPECT_EQ(make_schedule(settings("inverse_sqrt", R"({"timescale": null})"), 10).timescale, 0);
  EXPECT_EQ(make_schedule(settings("cosine_with_min_lr", R"({"min_lr": 2e-4})"), 10).lowest, 0.2);
  const Schedule early =
      make_schedule(settings("cosine_warmup_with_min_lr", R"({"min_lr_rate": 0.1, "warmup_lr_rate": 0.2})"), 10);
  EXPECT_EQ(early.lowest, 0.1);
  EXPECT_EQ(early.warmup_start, 0.2);
  const Schedule stable = make_schedule(
      settings("warmup_stable_decay",
               R"({"num_decay_steps": 4, "num_stable_steps": 3, "decay_type": "1-sqrt", "min_lr_ratio": 0.1})"),
      10);
  EXPECT_EQ(stable.decay_steps, 4);
  EXPECT_EQ(stable.stable_steps, 3);
  EXPECT_EQ(stable.decay_shape, RampShape::kOneMinusSqrt);
  EXPECT_EQ(stable.lowest, 0.1);
}

TEST(ScheduleSettingsTest, ARatioOfStepsIsRoundedUp) {
  config::TrainConfig config = settings("linear");
  config.warmup_ratio = 0.03;
  EXPECT_EQ(make_schedule(config, 100).warmup_steps, 3);
  EXPECT_EQ(make_schedule(config, 101).warmup_steps, 4);
  config.warmup_ratio = 0;
  EXPECT_EQ(make_schedule(config, 100).warmup_steps, 0);
}

TEST(ScheduleSettingsTest, WhatFollowsAnEvaluationIsRefusedByName) {
  for (const std::string name : {"reduce_lr_on_plateau", "greedy"})
    EXPECT_EQ(error_of(name), "`schedule`: " + name +
                                  " follows the losses of evaluations, and nothing is evaluated during training; use "
                                  "cosine, linear or warmup_stable_decay");
  EXPECT_NE(error_of("linaer").find("`schedule`: unknown schedule 'linaer'"), std::string::npos) << error_of("linaer");
}

TEST(ScheduleSettingsTest, KwargsThatAScheduleDoesNotTakeAreRefused) {
  EXPECT_EQ(error_of("linear", R"({"num_cycles": 1})"),
            "`schedule_kwargs`: linear takes no num_cycles; leave the option out");
  EXPECT_EQ(error_of("polynomial", R"({"last_epoch": 3})"),
            "`schedule_kwargs`: polynomial takes no last_epoch; it takes lr_end, power");
  EXPECT_EQ(error_of("cosine_with_min_lr"),
            R"(`schedule_kwargs`: cosine_with_min_lr needs one of min_lr and min_lr_rate, as in {"min_lr_rate": 0.1})");
  EXPECT_NE(error_of("cosine_with_min_lr", R"({"min_lr": 1e-5, "min_lr_rate": 0.1})").find("needs one of"),
            std::string::npos);
  EXPECT_NE(error_of("warmup_stable_decay").find("needs num_decay_steps"), std::string::npos);
}

TEST(ScheduleSettingsTest, ValuesOutOfRangeAreRefused) {
  EXPECT_EQ(error_of("polynomial", R"({"lr_end": 0.01})"),
            "`schedule_kwargs`: lr_end 0.01 is not below `learning_rate` 0.001; use a smaller one");
  EXPECT_EQ(error_of("cosine_with_min_lr", R"({"min_lr": 0.01})"),
            "`schedule_kwargs`: min_lr 0.01 is no part of `learning_rate` 0.001; use a smaller one");
  EXPECT_EQ(error_of("cosine", R"({"num_cycles": -1})"), "`schedule_kwargs`: num_cycles is -1.0; use 0 to 1000000");
  EXPECT_EQ(error_of("cosine", R"({"num_cycles": [1]})"), "`schedule_kwargs`: num_cycles is [1]; use 0 to 1000000");
  EXPECT_EQ(error_of("warmup_stable_decay", R"({"num_decay_steps": 2.5})"),
            "`schedule_kwargs`: num_decay_steps is 2.5; use a whole number of steps");
  EXPECT_EQ(error_of("warmup_stable_decay", R"({"num_decay_steps": 2, "decay_type": "sqrt"})"),
            R"(`schedule_kwargs`: decay_type is "sqrt"; use linear, cosine or 1-sqrt)");
  for (const std::string text : {"{", "[]", "3", R"({"num_cycles": 1, "num_cycles": 2})", R"({"num_cycles": NaN})"})
    EXPECT_EQ(error_of("cosine", text).find("`schedule_kwargs`"), 0U) << error_of("cosine", text);
}

TEST(ScheduleSettingsTest, EqualKwargsAreEqualTexts) {
  EXPECT_EQ(canonical_schedule_kwargs(settings("linear")), "");
  EXPECT_EQ(canonical_schedule_kwargs(settings("polynomial", R"({"power": null})")), "");
  EXPECT_EQ(canonical_schedule_kwargs(settings("polynomial", R"({"power": 2, "lr_end": "1e-5"})")),
            canonical_schedule_kwargs(settings("polynomial", R"({ "lr_end": 0.00001, "power": 2.0 })")));
}

}  // namespace
}  // namespace hici::optim
