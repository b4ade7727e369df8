// SPDX-License-Identifier: Apache-2.0
#include "hici/config/train_config.h"

#include "hici/base/error.h"
#include "hici/config/bounds.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace hici::config {
namespace {

constexpr double kMaxEpochs = 1e6;

// Collects what is wrong, so that one message names every bad value.
class Problems {
 public:
  void expect(bool holds, const char* option, double value, const char* rule) {
    if (holds) return;
    text_ << (text_.tellp() > 0 ? "; " : "") << option << ": " << value << " is out of range, use " << rule;
  }
  void positive(const char* option, int64_t value) {
    expect(value > 0, option, static_cast<double>(value), "1 or more");
  }
  void not_negative(const char* option, double value) {
    expect(value >= 0 && std::isfinite(value), option, value, "0 or more");
  }
  void raise() const { HICI_CHECK_USAGE(text_.str().empty(), text_.str()); }

 private:
  std::ostringstream text_;
};

// Each number is within its own bounds by now.
void check_step(const TrainConfig& t) {
  check_tokens_at_once("`batch_size`", t.batch_size, "`sequence_length`", t.sequence_length);
  HICI_CHECK_USAGE(t.accumulation_steps <= kMaxTokensOfStep / (t.batch_size * t.sequence_length),
                   "`accumulation_steps`: ", t.accumulation_steps, " forwards of ", t.batch_size, " x ",
                   t.sequence_length, " tokens are more than ", kMaxTokensOfStep, " in a step; use fewer");
}

}  // namespace

int64_t TrainConfig::total_steps(int64_t num_blocks) const {
  if (max_steps > 0) return max_steps;
  const double steps = num_epochs * static_cast<double>(num_blocks) / static_cast<double>(sequences_per_step());
  return std::max<int64_t>(1, static_cast<int64_t>(std::floor(steps)));
}

int64_t TrainConfig::warmup(int64_t total_steps) const {
  if (!warmup_ratio) return warmup_steps;
  return static_cast<int64_t>(std::ceil(static_cast<double>(total_steps) * *warmup_ratio));
}

void TrainConfig::validate() const {
  Problems problems;
  problems.positive("`batch_size`", batch_size);
  problems.positive("`accumulation_steps`", accumulation_steps);
  problems.positive("`logging_steps`", logging_steps);
  problems.positive("`max_nonfinite_steps`", max_nonfinite_steps);
  problems.expect(sequence_length >= 2, "`sequence_length`", static_cast<double>(sequence_length), "2 or more");
  problems.expect(max_steps == -1 || max_steps > 0, "`max_steps`", static_cast<double>(max_steps),
                  "1 or more, or -1 (`num_epochs` decides)");
  problems.expect(std::isfinite(num_epochs) && num_epochs >= 0 && num_epochs <= kMaxEpochs, "`num_epochs`", num_epochs,
                  "0 to 1000000");
  problems.not_negative("`learning_rate`", learning_rate);
  problems.not_negative("`hici_learning_rate`", hici_learning_rate);
  problems.not_negative("`weight_decay`", weight_decay);
  problems.not_negative("`warmup_steps`", static_cast<double>(warmup_steps));
  const double ratio = warmup_ratio.value_or(0);
  problems.expect(ratio >= 0 && ratio <= 1, "`warmup_ratio`", ratio, "0 to 1");
  problems.expect(adam_beta1 >= 0 && adam_beta1 < 1, "`adam_beta1`", adam_beta1, "0 to below 1");
  problems.expect(adam_beta2 >= 0 && adam_beta2 < 1, "`adam_beta2`", adam_beta2, "0 to below 1");
  problems.not_negative("`adam_epsilon`", adam_epsilon);
  problems.expect(lora_dropout >= 0 && lora_dropout < 1, "`lora_dropout`", lora_dropout, "0 to below 1");
  problems.not_negative("`max_grad_norm`", max_grad_norm);
  problems.not_negative("`hici_grad_clip`", hici_grad_clip);
  problems.not_negative("`save_steps`", static_cast<double>(save_steps));
  problems.not_negative("`save_total_limit`", static_cast<double>(save_total_limit));
  problems.raise();
  check_step(*this);
}

}  // namespace hici::config
