// SPDX-License-Identifier: Apache-2.0
#include "hici/report/attention_figures.h"

#include "hici/report/svg/svg_file.h"

#include <algorithm>
#include <iterator>
#include <limits>

namespace hici::report {
namespace {

constexpr double kLogSharesFromRatio = 20;
constexpr PlotSize kSize{.width = 760, .height = 400, .css_class = "", .has_direct_labels = true};

bool has_any(const eval::SharesByHead& shares) {
  return std::any_of(shares.begin(), shares.end(), [](const std::vector<double>& heads) {
    return std::any_of(heads.begin(), heads.end(), [](double share) { return share > 0; });
  });
}

// What keys are of has one colour in all figures; dashes tell deep layers from shallow ones.
constexpr Look kGlobal{.owner = 0}, kLocal{.owner = 1}, kOwn{.owner = 2};

Series layer_series(const std::string& name, const eval::SharesByHead& shares, const Look& look) {
  Series series{name, {}, {}, look};
  for (const double share : eval::means_of_layers(shares)) {
    series.points.push_back({static_cast<double>(series.points.size()), share});
  }
  return series;
}

// Mean over layers [begin, end) for each head.
Series head_series(const std::string& name, const eval::SharesByHead& shares, size_t begin, size_t end,
                   const Look& look) {
  Series series{name, {}, {}, look};
  for (size_t h = 0; h < shares.front().size(); ++h) {
    double sum = 0;
    for (size_t l = begin; l < end; ++l) sum += shares[l][h];
    series.points.push_back({static_cast<double>(h), sum / static_cast<double>(end - begin)});
  }
  return series;
}

// A label at whole numbers only.
Axis whole_number_axis(size_t count) {
  const auto last = static_cast<double>(count - 1);
  Axis axis{
      .scale = Scale::kLinear, .low = -0.03 * std::max(last, 1.0), .high = 1.03 * std::max(last, 1.0), .ticks = {}};
  const size_t step = (count + 11) / 12;
  for (size_t i = 0; i < count; i += step) axis.ticks.push_back({static_cast<double>(i), std::to_string(i)});
  return axis;
}

Axis share_axis(const std::vector<Series>& all) {
  std::vector<double> values;
  for (const Series& series : all) {
    for (const Point& point : series.points) values.push_back(point.y);
  }
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const double value : values) {
    if (value > 0) low = std::min(low, value);
    high = std::max(high, value);
  }
  const bool is_log = high > low * kLogSharesFromRatio;
  if (!is_log) values.push_back(0);  // from zero: small differences shall look small
  return axis_of(values, is_log ? Scale::kLog : Scale::kLinear, 5);
}

// Of the few largest cells (the first token draws much attention) the colour is that of the next: else it alone would
// be seen.
double full_colour(const std::vector<std::vector<double>>& values) {
  constexpr double kQuantile = 0.98;
  std::vector<double> shares;
  for (const std::vector<double>& row : values) {
    std::copy_if(row.begin(), row.end(), std::back_inserter(shares), [](double share) { return share > 0; });
  }
  if (shares.empty()) return 1;
  std::sort(shares.begin(), shares.end());
  return std::min(shares[static_cast<size_t>(kQuantile * static_cast<double>(shares.size() - 1))], 1.0);
}

Plot share_plot(const char* title, const char* x_label, size_t count, std::vector<Series> series) {
  Plot plot{.title = title,
            .x_label = x_label,
            .y_label = "share of attention",
            .x = whole_number_axis(count),
            .y = share_axis(series),
            .has_markers = true,
            .series = {}};
  plot.series = std::move(series);
  return plot;
}

}  // namespace

Plot layer_trend_plot(const eval::AttentionProfile& profile) {
  std::vector<Series> series;
  if (has_any(profile.global)) series.push_back(layer_series("global slots", profile.global, kGlobal));
  if (has_any(profile.local)) series.push_back(layer_series("local slots", profile.local, kLocal));
  series.push_back(layer_series("own tokens", profile.token, kOwn));
  return share_plot("Share of attention against layer", "layer", profile.token.size(), std::move(series));
}

Plot depth_plot(const eval::AttentionProfile& profile) {
  const size_t layers = profile.token.size(), third = std::max<size_t>(layers / 3, 1);
  std::vector<Series> series;
  auto add = [&](const std::string& name, const eval::SharesByHead& shares, const Look& look) {
    if (!has_any(shares)) return;
    series.push_back(head_series(name + ", shallow", shares, 0, third, look));
    series.push_back(head_series(name + ", deep", shares, layers - third, layers, {look.owner, 1}));
  };
  add("global slots", profile.global, kGlobal);
  add("local slots", profile.local, kLocal);
  return share_plot("Share of the slots by head, in the first third of the layers and in the last", "head",
                    profile.token.front().size(), std::move(series));
}

HeatMap head_map(const eval::AttentionProfile& profile) {
  HeatMap map{.title = "Share of attention that goes to slots, by layer and head",
              .x_label = "head",
              .y_label = "layer",
              .columns = {},
              .rows = {},
              .values = {},
              .full = 0};
  for (size_t h = 0; h < profile.token.front().size(); ++h) map.columns.push_back(std::to_string(h));
  for (size_t l = 0; l < profile.token.size(); ++l) {
    map.rows.push_back(std::to_string(l));
    map.values.emplace_back();
    for (size_t h = 0; h < map.columns.size(); ++h) {
      // Rounding may leave a little less than nothing.
      map.values.back().push_back(std::clamp(profile.global[l][h] + profile.local[l][h], 0.0, 1.0));
    }
  }
  for (const std::vector<double>& row : map.values) {
    map.full = std::max(map.full, *std::max_element(row.begin(), row.end()));
  }
  if (map.full == 0) map.full = 1;
  return map;
}

HeatMap segment_map(const eval::AttentionMap& segment) {
  HeatMap map{.title = "Attention of the tokens of one segment to slots and tokens",
              .x_label = "global slots (G), local slots (L), tokens from ...",
              .y_label = "queries from ...",
              .columns = {},
              .rows = {},
              .values = segment.rows,
              .full = full_colour(segment.rows)};
  const size_t slots = static_cast<size_t>(segment.num_global + segment.num_local);
  for (int64_t i = 0; i < segment.num_global; ++i) map.columns.push_back(std::string("G").append(std::to_string(i)));
  for (int64_t i = 0; i < segment.num_local; ++i) map.columns.push_back(std::string("L").append(std::to_string(i)));
  for (size_t i = slots; i < segment.rows.front().size(); ++i) {
    map.columns.push_back(std::to_string(static_cast<int64_t>(i - slots) * segment.block_tokens));
  }
  for (size_t i = 0; i < segment.rows.size(); ++i) {
    map.rows.push_back(std::to_string(static_cast<int64_t>(i) * segment.block_tokens));
    for (double& share : map.values[i]) share = std::clamp(share, 0.0, 1.0);
    // Tokens behind the queries, which these cannot see.
    for (size_t k = slots + i + 1; k < map.values[i].size(); ++k) {
      map.values[i][k] = std::numeric_limits<double>::quiet_NaN();
    }
  }
  return map;
}

std::vector<Figure> attention_figures(const eval::AttentionProfile& profile) {
  std::vector<Figure> figures = {{"layers.svg", standalone_svg(render_svg(layer_trend_plot(profile), kSize))},
                                 {"depth.svg", standalone_svg(render_svg(depth_plot(profile), kSize))},
                                 {"heads.svg", heat_map_file(head_map(profile))}};
  if (profile.map && !profile.map->rows.empty()) {
    figures.push_back({"map.svg", heat_map_file(segment_map(*profile.map))});
  }
  return figures;
}

}  // namespace hici::report
