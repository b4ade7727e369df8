// SPDX-License-Identifier: Apache-2.0
#include "hici/report/run_facts.h"

#include "hici/base/human.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>

namespace hici::report {
namespace {

using Getter = std::function<double(const LoggedStep&)>;

std::vector<double> finite_values(const TrainingRun& run, const Getter& get) {
  std::vector<double> values;
  for (const LoggedStep& step : run.steps) {
    if (std::isfinite(get(step))) values.push_back(get(step));
  }
  return values;
}

std::string shown(double value, const std::function<std::string(double)>& show) {
  return std::isfinite(value) ? show(value) : kNoFact;
}

double last(const TrainingRun& run, const Getter& get) {
  const std::vector<double> values = finite_values(run, get);
  return values.empty() ? kNotANumber : values.back();
}

double largest(const TrainingRun& run, const Getter& get) {
  const std::vector<double> values = finite_values(run, get);
  return values.empty() ? kNotANumber : *std::max_element(values.begin(), values.end());
}

double median(const TrainingRun& run, const Getter& get) {
  std::vector<double> values = finite_values(run, get);
  if (values.empty()) return kNotANumber;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The mean of the last tenth: one step's loss says little.
double final_loss(const TrainingRun& run) {
  const std::vector<double> losses = finite_values(run, [](const LoggedStep& step) { return step.loss; });
  if (losses.empty()) return kNotANumber;
  const size_t count = std::max<size_t>(1, losses.size() / 10);
  double sum = 0;
  for (size_t i = losses.size() - count; i < losses.size(); ++i) sum += losses[i];
  return sum / static_cast<double>(count);
}

double lowest_evaluation(const TrainingRun& run) {
  double lowest = kNotANumber;
  for (const LoggedEvaluation& each : run.evaluations) {
    if (std::isfinite(each.loss) && !(lowest <= each.loss)) lowest = each.loss;
  }
  return lowest;
}

// `seconds` starts again at zero in every process of a run that was resumed.
double total_seconds(const TrainingRun& run) {
  const std::vector<double> seconds = finite_values(run, [](const LoggedStep& step) { return step.seconds; });
  if (seconds.empty()) return kNotANumber;
  double total = seconds.back();
  for (size_t i = 1; i < seconds.size(); ++i) {
    if (seconds[i] < seconds[i - 1]) total += seconds[i - 1];
  }
  return total;
}

std::string printed(const char* format, double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

std::string shown_loss(double value) { return printed("%.3f", value); }
std::string shown_epochs(double value) { return printed("%.2f", value); }
std::string shown_rate(double value) { return printed("%.3g", value); }

}  // namespace

std::vector<Fact> facts_of(const TrainingRun& run) {
  const auto bytes = [](double value) { return human_bytes(static_cast<int64_t>(value)); };
  return {
      {"Optimizer steps", run.steps.empty() ? kNoFact : std::to_string(run.steps.back().step)},
      {"Epochs", shown(last(run, [](const LoggedStep& s) { return s.epoch; }), shown_epochs)},
      {"Training tokens", shown(last(run, [](const LoggedStep& s) { return s.tokens; }), human_count)},
      {"Final loss (mean of last tenth)", shown(final_loss(run), shown_loss)},
      {"Lowest evaluation loss", shown(lowest_evaluation(run), shown_loss)},
      {"Peak learning rate", shown(largest(run, [](const LoggedStep& s) { return s.learning_rate; }), shown_rate)},
      {"Peak learning rate, HiCI",
       shown(largest(run, [](const LoggedStep& s) { return s.hici_learning_rate; }), shown_rate)},
      {"Tokens per second (median)",
       shown(median(run, [](const LoggedStep& s) { return s.tokens_per_second; }), human_count)},
      {"Peak memory", shown(largest(run, [](const LoggedStep& s) { return s.peak_memory_bytes; }), bytes)},
      {"Training time", shown(total_seconds(run), human_duration)},
  };
}

}  // namespace hici::report
