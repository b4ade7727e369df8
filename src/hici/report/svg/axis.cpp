// SPDX-License-Identifier: Apache-2.0
#include "hici/report/svg/axis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace hici::report {
namespace {

// Beyond these no computation with an axis is safe, and nobody looks for details.
constexpr double kLargest = 1e100;
constexpr double kSmallest = 1e-100;
constexpr double kMaxDecades = 8;

std::vector<double> usable(const std::vector<double>& values, Scale scale) {
  std::vector<double> kept;
  for (const double value : values) {
    if (std::abs(value) <= kLargest && (scale == Scale::kLinear || value >= kSmallest)) kept.push_back(value);
  }
  if (kept.empty()) kept = {1};
  return kept;
}

// 1, 2 or 5 times a power of ten, near `range / num_ticks`.
double round_step(double range, int num_ticks) {
  const double raw = range / num_ticks;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power * 1.0001) return factor * power;
  }
  return 10 * power;
}

void add_linear_ticks(Axis& axis, int num_ticks, double least_step = 0) {
  const double step = std::max(round_step(axis.high - axis.low, num_ticks), least_step);
  for (double i = std::ceil(axis.low / step - 1e-9); i * step <= axis.high + step * 1e-9; ++i) {
    axis.ticks.push_back({i * step, short_number(std::abs(i) < 1e-9 ? 0 : i * step)});
  }
}

std::vector<Tick> log_ticks(const Axis& axis, const std::vector<double>& factors) {
  std::vector<Tick> ticks;
  const double first = std::floor(std::log10(axis.low));
  const double last = std::log10(axis.high);
  const double stride = std::max(1.0, std::floor((last - first) / kMaxDecades));  // some decades are left out of many
  for (double power = first; power <= last; power += stride) {
    for (const double factor : factors) {
      const double value = factor * std::pow(10.0, power);
      if (value >= axis.low * (1 - 1e-9) && value <= axis.high * (1 + 1e-9)) {
        ticks.push_back({value, short_number(value)});
      }
    }
  }
  return ticks;
}

// The coarsest row of round values that gives enough labels; a linear row where the range is short.
void add_log_ticks(Axis& axis, int num_ticks) {
  const std::vector<std::vector<double>> rows = {{1}, {1, 3}, {1, 2, 5}, {1, 2, 3, 5}, {1, 1.5, 2, 3, 4, 5, 7}};
  for (const std::vector<double>& row : rows) {
    axis.ticks = log_ticks(axis, row);
    if (static_cast<int>(axis.ticks.size()) >= std::max(3, num_ticks - 1)) return;
  }
  axis.ticks.clear();
  add_linear_ticks(axis, 2 * num_ticks);
}

}  // namespace

double Axis::position(double value) const {
  const double part = scale == Scale::kLinear ? (value - low) / (high - low)
                                              : (std::log(value) - std::log(low)) / (std::log(high) - std::log(low));
  return std::clamp(part, 0.0, 1.0);
}

Axis axis_of(const std::vector<double>& values, Scale scale, int num_ticks) {
  const std::vector<double> kept = usable(values, scale);
  const auto [low, high] = std::minmax_element(kept.begin(), kept.end());
  Axis axis{.scale = scale, .low = *low, .high = *high, .ticks = {}};
  if (scale == Scale::kLog) {
    const double margin = std::max(std::pow(axis.high / axis.low, 0.05), 1.02);
    axis.low /= margin;
    axis.high *= margin;
    add_log_ticks(axis, num_ticks);
    return axis;
  }
  const double range = axis.high - axis.low;
  const double margin = range > 0 ? range * 0.05 : std::max(std::abs(axis.high) * 0.05, kSmallest);
  axis.low = axis.low >= 0 && axis.low < margin * 4 ? 0 : axis.low - margin;  // close to zero: begin at zero
  axis.high += margin;
  add_linear_ticks(axis, num_ticks);
  return axis;
}

Axis count_axis(const std::vector<double>& values, int num_ticks) {
  Axis axis = axis_of(values, Scale::kLinear, num_ticks);
  axis.ticks.clear();
  add_linear_ticks(axis, num_ticks, 1);
  return axis;
}

Axis context_axis(const std::vector<double>& contexts) {
  Axis axis{.scale = Scale::kLog, .low = contexts.front() / 1.15, .high = contexts.back() * 1.15, .ticks = {}};
  for (const double context : contexts) axis.ticks.push_back({context, context_label(context)});
  return axis;
}

std::string context_label(double context) {
  const double thousands = context / 1024;
  if (thousands >= 1 && thousands == std::floor(thousands)) return short_number(thousands) + "K";
  return short_number(context);
}

std::string short_number(double value) {
  std::array<char, 32> text{};
  const double size = std::abs(value);
  const bool is_plain = size == 0 || (size >= 1e-4 && size < 1e6);
  std::snprintf(text.data(), text.size(), is_plain ? "%.6g" : "%.3g", value);
  return text.data();
}

}  // namespace hici::report
