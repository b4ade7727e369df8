// SPDX-License-Identifier: Apache-2.0
// Axes of plots: which range is shown, which values carry a label, where a value lies.
#pragma once

#include <string>
#include <vector>

namespace hici::report {

enum class Scale { kLinear, kLog };

struct Tick {
  double value = 0;
  std::string label;
};

struct Axis {
  Scale scale = Scale::kLinear;
  double low = 0;
  double high = 1;
  std::vector<Tick> ticks;

  // 0 at `low` and below, 1 at `high` and above.
  double position(double value) const;
};

// An axis that holds all finite values (positive ones on a log scale), with about `num_ticks` round labels. Its ends
// are a little outside of the values.
Axis axis_of(const std::vector<double>& values, Scale scale, int num_ticks);

// A linear axis of things that are counted: its labels are whole numbers.
Axis count_axis(const std::vector<double>& values, int num_ticks);

// A log axis with a label at each of the given contexts (256, 1K, 32K ...); the values are sorted and positive.
Axis context_axis(const std::vector<double>& contexts);

// Tokens of a context: 256, 1K, 1500, 32K.
std::string context_label(double context);

// A value as an axis or a table of facts shows it: 0.0005, 2.5, 1200, 3.4e-05.
std::string short_number(double value);

}  // namespace hici::report
