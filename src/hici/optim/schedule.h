// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules by the names and formulas of transformers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hici::optim {

enum class ScheduleKind { kConstant, kConstantWithWarmup, kLinear, kCosine };

// An unknown name is a usage error that lists the known ones.
ScheduleKind schedule_kind_from_name(std::string_view name);

struct Schedule {
  ScheduleKind kind = ScheduleKind::kConstantWithWarmup;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;

  // The factor of the rate for optimizer step `step`, counted from 1. With a warm-up the first step runs at rate 0.
  double factor(int64_t step) const;
};

}  // namespace hici::optim
