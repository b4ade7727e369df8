// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules by the names and formulas of transformers (get_scheduler()). They depend on the step alone.
#pragma once

#include "hici/base/enum_names.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hici::optim {

enum class ScheduleKind {
  kConstant,
  kConstantWithWarmup,
  kLinear,
  kCosine,
  kCosineWithRestarts,
  kPolynomial,
  kInverseSqrt,
  kCosineWithMinLr,
  kCosineWarmupWithMinLr,
  kWarmupStableDecay
};

constexpr EnumNames<ScheduleKind, 10> names_of(ScheduleKind) {
  return {"schedule",
          {{{ScheduleKind::kConstant, "constant"},
            {ScheduleKind::kConstantWithWarmup, "constant_with_warmup"},
            {ScheduleKind::kLinear, "linear"},
            {ScheduleKind::kCosine, "cosine"},
            {ScheduleKind::kCosineWithRestarts, "cosine_with_restarts"},
            {ScheduleKind::kPolynomial, "polynomial"},
            {ScheduleKind::kInverseSqrt, "inverse_sqrt"},
            {ScheduleKind::kCosineWithMinLr, "cosine_with_min_lr"},
            {ScheduleKind::kCosineWarmupWithMinLr, "cosine_warmup_with_min_lr"},
            {ScheduleKind::kWarmupStableDecay, "warmup_stable_decay"}}}};
}

// How warmup_stable_decay rises and falls.
enum class RampShape { kLinear, kCosine, kOneMinusSqrt };

constexpr EnumNames<RampShape, 3> names_of(RampShape) {
  return {"shape",
          {{{RampShape::kLinear, "linear"}, {RampShape::kCosine, "cosine"}, {RampShape::kOneMinusSqrt, "1-sqrt"}}}};
}

struct Schedule {
  ScheduleKind kind = ScheduleKind::kConstantWithWarmup;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;

  // Of those kinds that have them.
  double num_cycles = 0.5;                   // waves; of cosine_with_restarts falls from 1 to 0
  double power = 1;                          // of polynomial
  double lowest = 0;                         // factor at the end of polynomial, *_min_lr and warmup_stable_decay
  double timescale = 0;                      // of inverse_sqrt; 0: the warm-up, without one 10000
  std::optional<double> warmup_start = {};   // of cosine_warmup_with_min_lr: the first factor
  std::optional<int64_t> stable_steps = {};  // of warmup_stable_decay; nullopt: what the other two leave
  int64_t decay_steps = 0;                   // of warmup_stable_decay
  RampShape warmup_shape = RampShape::kLinear;
  RampShape decay_shape = RampShape::kCosine;

  // The factor of the rate for optimizer step `step`, counted from 1. With a warm-up the first step runs at rate 0, but
  // for cosine_warmup_with_min_lr, and for warmup_stable_decay with a lowest factor.
  double factor(int64_t step) const;

  // Whether a longer run has other rates from the first step on, with the same warm-up.
  bool depends_on_end() const;
};

}  // namespace hici::optim
