// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules by the names and formulas of transformers.
#pragma once

#include "hici/base/enum_names.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace hici::optim {

enum class ScheduleKind { kConstant, kConstantWithWarmup, kLinear, kCosine };

constexpr EnumNames<ScheduleKind, 4> names_of(ScheduleKind) {
  return {"schedule",
          {{{ScheduleKind::kConstant, "constant"},
            {ScheduleKind::kConstantWithWarmup, "constant_with_warmup"},
            {ScheduleKind::kLinear, "linear"},
            {ScheduleKind::kCosine, "cosine"}}}};
}

struct Schedule {
  ScheduleKind kind = ScheduleKind::kConstantWithWarmup;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;

  // The factor of the rate for optimizer step `step`, counted from 1. With a warm-up the first step runs at rate 0.
  double factor(int64_t step) const;
};

}  // namespace hici::optim
