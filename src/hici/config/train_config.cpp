// SPDX-License-Identifier: Apache-2.0
#include "hici/config/train_config.h"

#include "hici/base/error.h"

#include <algorithm>
#include <cmath>

namespace hici::config {
namespace {

void check_positive(const char* option, int64_t value) {
  HICI_CHECK_USAGE(value > 0, option, ": ", value, " is not positive; use 1 or more");
}

void check_not_negative(const char* option, double value) {
  HICI_CHECK_USAGE(value >= 0 && std::isfinite(value), option, ": ", value,
                   " is negative or not a number; use 0 or more");
}

}  // namespace

int64_t TrainConfig::total_steps(int64_t num_blocks) const {
  if (max_steps > 0) return max_steps;
  const double steps = num_epochs * static_cast<double>(num_blocks) / static_cast<double>(sequences_per_step());
  return std::max<int64_t>(1, static_cast<int64_t>(std::floor(steps)));
}

void TrainConfig::validate() const {
  check_positive("--per_device_train_batch_size", batch_size);
  check_positive("--gradient_accumulation_steps", accumulation_steps);
  check_positive("--logging_steps", logging_steps);
  check_positive("--max_nonfinite_steps", max_nonfinite_steps);
  HICI_CHECK_USAGE(sequence_length >= 2, "--model_max_length: ", sequence_length, " is too short; use 2 or more");
  HICI_CHECK_USAGE(max_steps == -1 || max_steps > 0, "--max_steps: ", max_steps,
                   " is neither positive nor -1 (let --num_train_epochs decide)");
  check_not_negative("--num_train_epochs", num_epochs);
  check_not_negative("--learning_rate", learning_rate);
  check_not_negative("--hici_lr", hici_learning_rate);
  check_not_negative("--weight_decay", weight_decay);
  check_not_negative("--warmup_steps", static_cast<double>(warmup_steps));
  check_not_negative("--max_grad_norm", max_grad_norm);
  check_not_negative("--hici_grad_clip", hici_grad_clip);
  check_not_negative("--save_steps", static_cast<double>(save_steps));
  check_not_negative("--save_total_limit", static_cast<double>(save_total_limit));
}

}  // namespace hici::config
