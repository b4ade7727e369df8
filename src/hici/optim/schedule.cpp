// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/schedule.h"

#include "hici/base/error.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hici::optim {

double Schedule::factor(int64_t step) const {
  const int64_t done = step - 1;
  if (kind == ScheduleKind::kConstant) return 1.0;
  if (done < warmup_steps) return static_cast<double>(done) / static_cast<double>(std::max<int64_t>(1, warmup_steps));
  if (kind == ScheduleKind::kConstantWithWarmup) return 1.0;
  const auto rest = static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
  const double progress = std::min(1.0, static_cast<double>(done - warmup_steps) / rest);
  if (kind == ScheduleKind::kLinear) return 1.0 - progress;
  return 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
}

}  // namespace hici::optim
