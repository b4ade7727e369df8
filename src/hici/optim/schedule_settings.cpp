// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/schedule_settings.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/json.h"
#include "hici/base/joined.h"
#include "hici/base/parse_number.h"
#include "hici/base/usage_errors.h"
#include "hici/config/bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace hici::optim {
namespace {

using enum ScheduleKind;

constexpr const char* kKwargs = "`schedule_kwargs`";
constexpr size_t kMaxBytes = size_t{1} << 16;
constexpr double kMaxCycles = 1e6;
constexpr double kMaxPower = 100;

// What transformers' function of each kind takes.
std::vector<std::string> known_kwargs(ScheduleKind kind) {
  if (kind == kCosine || kind == kCosineWithRestarts) return {"num_cycles"};
  if (kind == kPolynomial) return {"lr_end", "power"};
  if (kind == kInverseSqrt) return {"timescale"};
  if (kind == kCosineWithMinLr) return {"num_cycles", "min_lr", "min_lr_rate"};
  if (kind == kCosineWarmupWithMinLr) return {"num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"};
  if (kind == kWarmupStableDecay)
    return {"num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio", "num_cycles"};
  return {};
}

ScheduleKind kind_of(const config::TrainConfig& config) {
  const bool needs_evaluation = config.schedule == "reduce_lr_on_plateau" || config.schedule == "greedy";
  HICI_CHECK_USAGE(!needs_evaluation, "`schedule`: ", config.schedule,
                   " follows the losses of evaluations, and nothing is evaluated during training; use cosine, "
                   "linear or warmup_stable_decay");
  return parse_enum<ScheduleKind>(config.schedule, "`schedule`");
}

// Numbers may be text, as transformers reads them from a command line; null is not set.
nlohmann::json parse_kwargs(const std::string& text) {
  if (text.empty()) return nlohmann::json::object();
  const nlohmann::json value = with_usage_errors("", [&] { return parse_json(text, kKwargs, kMaxBytes); });
  HICI_CHECK_USAGE(value.is_object(), kKwargs, ": ", shown_json(value),
                   R"( is no JSON object; use one as in {"num_cycles": 3})");
  nlohmann::json set = nlohmann::json::object();
  for (const auto& [key, item] : value.items()) {
    if (item.is_null()) continue;
    const auto number = item.is_string() ? parse_number<double>(item.get_ref<const std::string&>()) : std::nullopt;
    set[key] = item.is_number() ? nlohmann::json(item.get<double>()) : number ? nlohmann::json(*number) : item;
  }
  return set;
}

class Kwargs {
 public:
  explicit Kwargs(const config::TrainConfig& config)
      : kind_(kind_of(config)), name_(config.schedule), values_(parse_kwargs(config.schedule_kwargs)) {
    const std::vector<std::string> known = known_kwargs(kind_);
    for (const auto& [key, ignored] : values_.items()) {
      const bool is_known = std::find(known.begin(), known.end(), key) != known.end();
      HICI_CHECK_USAGE(is_known, kKwargs, ": ", name_, " takes no ", printable(key, 60), "; ",
                       known.empty() ? "leave the option out" : "it takes " + joined(known));
    }
  }

  ScheduleKind kind() const { return kind_; }
  const nlohmann::json& values() const { return values_; }
  bool has(const char* key) const { return values_.contains(key); }

  double number(const char* key, double low, double high, double absent) const {
    if (!has(key)) return absent;
    const nlohmann::json& value = values_.at(key);
    const double number = value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
    HICI_CHECK_USAGE(number >= low && number <= high, kKwargs, ": ", key, " is ", shown_json(value), "; use ",
                     shortest_number(low), " to ", shortest_number(high));
    return number;
  }

  int64_t count(const char* key) const {
    const double steps = number(key, 0, static_cast<double>(config::kMaxCount), 0);
    HICI_CHECK_USAGE(steps == std::floor(steps), kKwargs, ": ", key, " is ", shown_json(values_.at(key)),
                     "; use a whole number of steps");
    return static_cast<int64_t>(steps);
  }

  RampShape shape(const char* key, RampShape absent) const {
    if (!has(key)) return absent;
    const nlohmann::json& value = values_.at(key);
    const auto found = value.is_string() ? find_enum<RampShape>(value.get_ref<const std::string&>()) : std::nullopt;
    HICI_CHECK_USAGE(found, kKwargs, ": ", key, " is ", shown_json(value), "; use linear, cosine or 1-sqrt");
    return *found;
  }

  [[noreturn]] void needs(const std::string& what) const {
    detail::throw_usage_error(std::string(kKwargs) + ": " + name_ + " needs " + what);
  }

 private:
  ScheduleKind kind_;
  std::string name_;
  nlohmann::json values_;
};

// A rate as a part of the learning rate.
double part_of_rate(const char* key, double rate, const config::TrainConfig& config) {
  HICI_CHECK_USAGE(rate <= config.learning_rate && config.learning_rate > 0, kKwargs, ": ", key, " ",
                   shortest_number(rate), " is no part of `learning_rate` ", shortest_number(config.learning_rate),
                   "; use a smaller one");
  return rate / config.learning_rate;
}

double lowest_of_cosine(const Kwargs& kwargs, const config::TrainConfig& config) {
  if (kwargs.has("min_lr") == kwargs.has("min_lr_rate"))
    kwargs.needs(R"(one of min_lr and min_lr_rate, as in {"min_lr_rate": 0.1})");
  if (kwargs.has("min_lr_rate")) return kwargs.number("min_lr_rate", 0, 1, 0);
  return part_of_rate("min_lr", kwargs.number("min_lr", 0, config::kMaxLearningRate, 0), config);
}

double lowest_of_polynomial(const Kwargs& kwargs, const config::TrainConfig& config) {
  constexpr double kDefaultEnd = 1e-7;
  const double end = kwargs.number("lr_end", 0, config::kMaxLearningRate, kDefaultEnd);
  HICI_CHECK_USAGE(end < config.learning_rate, kKwargs, ": lr_end ", shortest_number(end),
                   " is not below `learning_rate` ", shortest_number(config.learning_rate), "; use a smaller one");
  return end / config.learning_rate;
}

void read_stable_decay(const Kwargs& kwargs, Schedule& schedule) {
  if (!kwargs.has("num_decay_steps")) kwargs.needs(R"(num_decay_steps, as in {"num_decay_steps": 100})");
  schedule.decay_steps = kwargs.count("num_decay_steps");
  if (kwargs.has("num_stable_steps")) schedule.stable_steps = kwargs.count("num_stable_steps");
  schedule.warmup_shape = kwargs.shape("warmup_type", RampShape::kLinear);
  schedule.decay_shape = kwargs.shape("decay_type", RampShape::kCosine);
  schedule.lowest = kwargs.number("min_lr_ratio", 0, 1, 0);
}

}  // namespace

Schedule make_schedule(const config::TrainConfig& config, int64_t total_steps) {
  const Kwargs kwargs(config);
  Schedule schedule;
  schedule.kind = kwargs.kind();
  schedule.warmup_steps = config.warmup(total_steps);
  schedule.total_steps = total_steps;
  schedule.num_cycles = kwargs.number("num_cycles", 0, kMaxCycles, schedule.kind == kCosineWithRestarts ? 1.0 : 0.5);
  schedule.power = kwargs.number("power", 0, kMaxPower, 1);
  schedule.timescale = kwargs.number("timescale", 1, static_cast<double>(config::kMaxCount), 0);
  if (kwargs.has("warmup_lr_rate")) schedule.warmup_start = kwargs.number("warmup_lr_rate", 0, 1, 0);
  if (schedule.kind == kPolynomial) schedule.lowest = lowest_of_polynomial(kwargs, config);
  if (schedule.kind == kCosineWithMinLr || schedule.kind == kCosineWarmupWithMinLr)
    schedule.lowest = lowest_of_cosine(kwargs, config);
  if (schedule.kind == kWarmupStableDecay) read_stable_decay(kwargs, schedule);
  return schedule;
}

std::string canonical_schedule_kwargs(const config::TrainConfig& config) {
  const nlohmann::json values = parse_kwargs(config.schedule_kwargs);
  return values.empty() ? "" : values.dump();
}

}  // namespace hici::optim
