// SPDX-License-Identifier: Apache-2.0
#include "hici/report/figures.h"

#include "hici/report/model_names.h"
#include "hici/report/tables/attention_table.h"
#include "hici/report/tables/perplexity_table.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace hici::report {
namespace {

constexpr size_t kMaxPoints = 600;
constexpr double kLogFromRatio = 5;
constexpr size_t kSmoothingPart = 30;

using Getter = std::function<double(const LoggedStep&)>;

std::vector<Point> points_of(const TrainingRun& run, const Getter& get) {
  std::vector<Point> points;
  for (const LoggedStep& step : run.steps) points.push_back({static_cast<double>(step.step), get(step)});
  return points;
}

Series smoothed_series(const TrainingRun& run, const Looks& looks, const Getter& get) {
  const std::vector<Point> points = points_of(run, get);
  return {run.name, thinned(smoothed(points), kMaxPoints), thinned(points, kMaxPoints), looks.of(run.name)};
}

std::vector<double> values_of(const std::vector<Series>& all, double Point::* coordinate) {
  std::vector<double> values;
  for (const Series& series : all) {
    for (const Point& point : series.points) values.push_back(point.*coordinate);
    for (const Point& point : series.faint) values.push_back(point.*coordinate);
  }
  return values;
}

Scale scale_for(const std::vector<double>& values) {
  double low = std::numeric_limits<double>::infinity();
  double high = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  return low > 0 && high > low * kLogFromRatio ? Scale::kLog : Scale::kLinear;
}

// The y axis holds the values of `y_values` too.
void set_step_axes(Plot& plot, Scale y_scale, std::vector<double> y_values = {}) {
  plot.x_label = "optimizer step";
  plot.x = count_axis(values_of(plot.series, &Point::x), 5);
  for (const double y : values_of(plot.series, &Point::y)) y_values.push_back(y);
  plot.y = axis_of(y_values, y_scale, 5);
}

bool has_own_hici_rate(const TrainingRun& run) {
  return std::any_of(run.steps.begin(), run.steps.end(), [](const LoggedStep& step) {
    return std::isfinite(step.hici_learning_rate) && step.hici_learning_rate != step.learning_rate;
  });
}

}  // namespace

Plot loss_plot(const std::vector<TrainingRun>& runs, const Looks& looks) {
  Plot plot{.title = "Training loss against optimizer step",
            .x_label = {},
            .y_label = "loss (nats per token)",
            .x = {},
            .y = {},
            .has_markers = false,
            .series = {}};
  for (const TrainingRun& run : runs) {
    plot.series.push_back(smoothed_series(run, looks, [](const LoggedStep& step) { return step.loss; }));
    if (run.evaluations.empty()) continue;
    Series evaluated{run.name + ", evaluation", {}, {}, looks.second_of(run.name)};
    for (const LoggedEvaluation& each : run.evaluations)
      evaluated.points.push_back({static_cast<double>(each.step), each.loss});
    evaluated.points = thinned(evaluated.points, kMaxPoints);
    plot.series.push_back(std::move(evaluated));
  }
  set_step_axes(plot, scale_for(values_of(plot.series, &Point::y)));
  return plot;
}

Plot learning_rate_plot(const std::vector<TrainingRun>& runs, const Looks& looks) {
  Plot plot{.title = "Learning rate against optimizer step",
            .x_label = {},
            .y_label = "learning rate",
            .x = {},
            .y = {},
            .has_markers = false,
            .series = {}};
  for (const TrainingRun& run : runs) {
    const bool has_both = has_own_hici_rate(run);
    const auto rate = points_of(run, [](const LoggedStep& step) { return step.learning_rate; });
    plot.series.push_back({run.name, thinned(rate, kMaxPoints), {}, looks.of(run.name)});
    if (!has_both) continue;
    const auto hici_rate = points_of(run, [](const LoggedStep& step) { return step.hici_learning_rate; });
    plot.series.push_back(
        {run.name + ", HiCI parameters", thinned(hici_rate, kMaxPoints), {}, looks.second_of(run.name)});
  }
  set_step_axes(plot, Scale::kLinear);
  return plot;
}

Plot speed_plot(const std::vector<TrainingRun>& runs, const Looks& looks) {
  Plot plot{.title = "Tokens per second against optimizer step",
            .x_label = {},
            .y_label = "tokens per second",
            .x = {},
            .y = {},
            .has_markers = false,
            .series = {}};
  for (const TrainingRun& run : runs) {
    plot.series.push_back(smoothed_series(run, looks, [](const LoggedStep& step) { return step.tokens_per_second; }));
  }
  set_step_axes(plot, Scale::kLinear, {0});  // from zero: small changes of speed shall look small
  return plot;
}

Plot perplexity_plot(const std::vector<PerplexityResult>& results, const Looks& looks) {
  Plot plot{.title = "Perplexity against evaluation context",
            .x_label = "evaluation context (tokens)",
            .y_label = "perplexity",
            .x = {},
            .y = {},
            .has_markers = true,
            .series = {}};
  std::set<int64_t> columns;
  for (const PerplexityResult& result : results) columns.insert(result.context);
  const std::vector<double> contexts(columns.begin(), columns.end());
  const Table table = perplexity_table(results);
  const std::vector<std::string> names = row_names(table);
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const std::vector<std::string>& row = table.rows[r].names;
    Series series{names[r], {}, {}, looks.of(row[0], row[1])};
    for (size_t i = 0; i < contexts.size(); ++i) {
      const double perplexity = table.rows[r].values[i];
      // A context that this row was not evaluated at is no gap in its line.
      if (std::isfinite(perplexity)) series.points.push_back({contexts[i], perplexity});
    }
    plot.series.push_back(std::move(series));
  }
  plot.x = context_axis(contexts);
  plot.y = axis_of(values_of(plot.series, &Point::y), Scale::kLog, 5);
  return plot;
}

Plot attention_plot(const std::vector<AttentionResult>& results, AttentionResult::Shares AttentionResult::* shares,
                    const char* what, const Looks& looks) {
  Plot plot{.title = std::string("Share of attention on ") + what + " against layer",
            .x_label = "layer",
            .y_label = std::string("share on ") + what,
            .x = {},
            .y = {},
            .has_markers = true,
            .series = {}};
  for (const AttentionResult& result : results) {
    Series series{result.label, {}, {}, looks.of(result.label)};
    for (const double mean : means_by_layer(result.*shares))
      series.points.push_back({static_cast<double>(series.points.size()), mean});
    plot.series.push_back(std::move(series));
  }
  plot.x = count_axis(values_of(plot.series, &Point::x), 5);
  std::vector<double> shown = values_of(plot.series, &Point::y);
  shown.push_back(0);  // shares begin at zero
  plot.y = axis_of(shown, Scale::kLinear, 4);
  return plot;
}

std::vector<Point> smoothed(const std::vector<Point>& points) {
  // Sums up to each point, so that every mean costs the same.
  std::vector<double> sums = {0};
  std::vector<double> counts = {0};
  for (const Point& point : points) {
    const bool is_there = std::isfinite(point.y);
    sums.push_back(sums.back() + (is_there ? point.y : 0));
    counts.push_back(counts.back() + (is_there ? 1 : 0));
  }
  std::vector<Point> smooth = points;
  for (size_t i = 0; i < points.size(); ++i) {
    if (!std::isfinite(points[i].y)) continue;
    const size_t reach = std::min(points.size() / (2 * kSmoothingPart), i);
    const size_t end = std::min(i + reach + 1, points.size());
    smooth[i].y = (sums[end] - sums[i - reach]) / (counts[end] - counts[i - reach]);
  }
  return smooth;
}

std::vector<Point> thinned(const std::vector<Point>& points, size_t max_points) {
  if (points.size() <= max_points) return points;
  const auto below = [](const Point& a, const Point& b) { return a.y < b.y; };
  std::vector<Point> kept;
  const size_t num_stretches = max_points / 2;
  for (size_t i = 0; i < num_stretches; ++i) {
    std::vector<Point> stretch(points.begin() + static_cast<std::ptrdiff_t>(i * points.size() / num_stretches),
                               points.begin() + static_cast<std::ptrdiff_t>((i + 1) * points.size() / num_stretches));
    std::erase_if(stretch, [](const Point& point) { return !std::isfinite(point.y); });
    if (stretch.empty()) continue;
    auto [low, high] = std::minmax_element(stretch.begin(), stretch.end(), below);
    if (high < low) std::swap(low, high);
    kept.push_back(*low);
    if (high != low) kept.push_back(*high);
  }
  return kept;
}

std::vector<std::string> row_names(const Table& table) {
  std::map<std::string, int> num_rows;
  for (const Table::Row& row : table.rows) ++num_rows[row.names[0]];
  std::vector<std::string> names;
  for (const Table::Row& row : table.rows) {
    const std::string& label = row.names[0];
    names.push_back(num_rows[label] == 1 ? label : label + ", " + attention_in_words(row.names[1]));
  }
  return names;
}

}  // namespace hici::report
