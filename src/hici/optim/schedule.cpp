// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/schedule.h"

#include "hici/base/error.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hici::optim {
namespace {

// Steps without a warm-up after which inverse_sqrt has fallen to 1/sqrt(2).
constexpr double kDefaultTimescale = 10'000;

double to_double(int64_t count) { return static_cast<double>(count); }
double at_least_one(int64_t count) { return to_double(std::max<int64_t>(1, count)); }

// From 1 at 0 to 0 at 1 / (2 * cycles), and up again.
double cosine_wave(double cycles, double progress) {
  return 0.5 * (1.0 + std::cos(std::numbers::pi * cycles * 2.0 * progress));
}

double above(double lowest, double factor) { return factor * (1.0 - lowest) + lowest; }

double linear_rise(const Schedule& s, int64_t done) { return to_double(done) / at_least_one(s.warmup_steps); }

// Its steps count from 1, so that the first one has a rate and the last one of the run the lowest.
double cosine_warmup_with_min_lr(const Schedule& s, int64_t done) {
  if (done < s.warmup_steps) {
    if (!s.warmup_start) return to_double(done + 1) / at_least_one(s.warmup_steps);
    return *s.warmup_start + (1.0 - *s.warmup_start) * to_double(done) / at_least_one(s.warmup_steps - 1);
  }
  const double progress = to_double(done - s.warmup_steps + 1) / at_least_one(s.total_steps - s.warmup_steps);
  return std::max(0.0, above(s.lowest, cosine_wave(s.num_cycles, progress)));
}

double stable_rise(RampShape shape, double progress) {
  if (shape == RampShape::kLinear) return progress;
  if (shape == RampShape::kCosine) return 0.5 * (1.0 - std::cos(std::numbers::pi * progress));
  return 1.0 - std::sqrt(1.0 - progress);
}

double stable_fall(const Schedule& s, double progress) {
  if (s.decay_shape == RampShape::kLinear) return 1.0 - progress;
  if (s.decay_shape == RampShape::kCosine) return cosine_wave(s.num_cycles, progress);
  return 1.0 - std::sqrt(progress);
}

double warmup_stable_decay(const Schedule& s, int64_t done) {
  if (done < s.warmup_steps) return above(s.lowest, stable_rise(s.warmup_shape, linear_rise(s, done)));
  const int64_t stable = s.stable_steps.value_or(s.total_steps - s.warmup_steps - s.decay_steps);
  const int64_t falling = done - s.warmup_steps - stable;
  if (falling < 0) return 1.0;
  if (falling >= s.decay_steps) return s.lowest;
  return std::max(0.0, above(s.lowest, stable_fall(s, to_double(falling) / at_least_one(s.decay_steps))));
}

double restarting_cosine(const Schedule& s, double progress) {
  if (progress >= 1.0) return 0.0;
  return std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * std::fmod(s.num_cycles * progress, 1.0))));
}

double inverse_sqrt(const Schedule& s, int64_t done) {
  const double timescale = s.timescale > 0      ? s.timescale
                           : s.warmup_steps > 0 ? to_double(s.warmup_steps)
                                                : kDefaultTimescale;
  return 1.0 / std::sqrt((to_double(done) + (timescale - to_double(s.warmup_steps))) / timescale);
}

double polynomial(const Schedule& s, int64_t done) {
  if (done >= s.total_steps) return s.lowest;
  const double left = 1.0 - to_double(done - s.warmup_steps) / to_double(s.total_steps - s.warmup_steps);
  return above(s.lowest, std::pow(left, s.power));
}

// Of the kinds that rise by a line from 0 to 1, after that.
double after_warmup(const Schedule& s, int64_t done) {
  const double rest = at_least_one(s.total_steps - s.warmup_steps);
  const double progress = to_double(done - s.warmup_steps) / rest;
  switch (s.kind) {
    case ScheduleKind::kLinear:
      return std::max(0.0, to_double(s.total_steps - done) / rest);
    case ScheduleKind::kCosine:
      return std::max(0.0, cosine_wave(s.num_cycles, progress));
    case ScheduleKind::kCosineWithMinLr:
      return std::max(0.0, above(s.lowest, cosine_wave(s.num_cycles, progress)));
    case ScheduleKind::kCosineWithRestarts:
      return restarting_cosine(s, progress);
    case ScheduleKind::kPolynomial:
      return polynomial(s, done);
    case ScheduleKind::kInverseSqrt:
      return inverse_sqrt(s, done);
    default:
      return 1.0;
  }
}

}  // namespace

double Schedule::factor(int64_t step) const {
  const int64_t done = step - 1;
  if (kind == ScheduleKind::kConstant) return 1.0;
  if (kind == ScheduleKind::kCosineWarmupWithMinLr) return cosine_warmup_with_min_lr(*this, done);
  if (kind == ScheduleKind::kWarmupStableDecay) return warmup_stable_decay(*this, done);
  return done < warmup_steps ? linear_rise(*this, done) : after_warmup(*this, done);
}

bool Schedule::depends_on_end() const {
  if (kind == ScheduleKind::kWarmupStableDecay) return !stable_steps;
  return kind != ScheduleKind::kConstant && kind != ScheduleKind::kConstantWithWarmup &&
         kind != ScheduleKind::kInverseSqrt;
}

}  // namespace hici::optim
