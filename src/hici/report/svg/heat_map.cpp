// SPDX-License-Identifier: Apache-2.0
#include "hici/report/svg/heat_map.h"

#include "hici/base/error.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace hici::report {
namespace {

constexpr double kCellCharacterWidth = 6.6;
constexpr double kLineHeight = 15;
constexpr double kLegendWidth = 78;  // colours, and "12.5%" beside them
constexpr int kLegendSteps = 10;
constexpr double kFaintest = 0.06;  // of a cell with 0, so that it differs from an empty one
// Where black and white letters change places on a cell, in dark and in light windows. At these depths of the colour
// both have a contrast of 4.5 with the cell.
constexpr double kMiddleFrom = 0.615;
constexpr double kStrongFrom = 0.84;
constexpr double kSmallCell = 12;     // too small for lines around it
constexpr double kTitleScale = 1.25;  // its letters are larger and bold
constexpr double kFileWidth = 780, kFileHeight = 400, kFileTop = 36, kLowestRow = 10;

// The page's colours in words of their own: programs that draw files know no variables. One hue, so that cells differ
// in lightness alone.
constexpr const char* kStyle = R"(<style>
.heat-map .ground { fill: #fdfdfb; }
.heat-map .cell { fill: #0064a8; stroke: none; }
.heat-map .edge { fill: none; stroke: #d9dcdf; stroke-width: 1; }
.heat-map .empty { fill: none; stroke: #d9dcdf; stroke-width: 1; stroke-dasharray: 3 3; }
.heat-map text { font: 12px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #57606a; }
.heat-map text.label { fill: #1b1f24; }
.heat-map text.on-faint, .heat-map text.on-middle { fill: #000; }
.heat-map text.on-strong { fill: #fff; }
.heat-map text.title { fill: #1b1f24; font-size: 14px; font-weight: 600; }
@media (prefers-color-scheme: dark) {
  .heat-map .ground { fill: #14171b; }
  .heat-map .cell { fill: #5cb3f2; }
  .heat-map .edge, .heat-map .empty { stroke: #343a41; }
  .heat-map text { fill: #a5adb6; }
  .heat-map text.label, .heat-map text.title { fill: #e8eaed; }
  .heat-map text.on-faint { fill: #fff; }
  .heat-map text.on-middle, .heat-map text.on-strong { fill: #000; }
}
</style>
)";

double longest_label(const std::vector<std::string>& labels) {
  double longest = 0;
  for (const std::string& label : labels) longest = std::max(longest, text_width(label));
  return longest;
}

// With a digit after the point where whole numbers would all be small.
std::string percent(double share, double full) {
  constexpr double kSmall = 0.2;
  return full < kSmall ? short_number(std::round(share * 1000) / 10) : std::to_string(std::lround(share * 100));
}

class SvgHeatMap {
 public:
  SvgHeatMap(const HeatMap& map, const PlotSize& size, double top) : map_(map), size_(size), top_(top) {
    HICI_ASSERT(!map.columns.empty() && map.values.size() == map.rows.size() && !map.rows.empty(), map.rows.size(),
                " rows, ", map.columns.size(), " columns, values of ", map.values.size());
    left_ = 38 + longest_label(map.rows);
    cell_width_ = (size.width - left_ - kLegendWidth) / static_cast<double>(map.columns.size());
    cell_height_ = (size.height - top - 46) / static_cast<double>(map.rows.size());
  }

  std::string render() {
    out_ << "<svg xmlns='http://www.w3.org/2000/svg' class='heat-map " << size_.css_class << "' viewBox='0 0 "
         << size_.width << ' ' << size_.height << "' width='" << size_.width << "' height='" << size_.height
         << "' role='img' aria-label='" << html_escape(map_.title) << "'>\n"
         << kStyle << "<rect class='ground' width='" << size_.width << "' height='" << size_.height << "'/>\n";
    if (top_ > kPlainTop) text("title", left_, 20, "start", shortened(map_.title, (size_.width - left_) / kTitleScale));
    draw_cells();
    draw_labels();
    draw_legend();
    out_ << "</svg>\n";
    return out_.str();
  }

  static constexpr double kPlainTop = 12;

 private:
  double x(size_t column) const { return left_ + static_cast<double>(column) * cell_width_; }
  double y(size_t row) const { return top_ + static_cast<double>(row) * cell_height_; }
  double right() const { return x(map_.columns.size()); }
  double bottom() const { return y(map_.rows.size()); }

  void text(const char* css_class, double at_x, double at_y, const char* anchor, const std::string& content) {
    out_ << "<text class='" << css_class << "' x='" << px(at_x) << "' y='" << px(at_y) << "' text-anchor='" << anchor
         << "'>" << html_escape(content) << "</text>\n";
  }

  void rectangle(const char* css_class, double at_x, double at_y, double width, double height,
                 const std::string& more = "") {
    out_ << "<rect class='" << css_class << "' x='" << px(at_x) << "' y='" << px(at_y) << "' width='" << px(width)
         << "' height='" << px(height) << "'" << more << "/>";
  }

  // Of the whole colour.
  double depth(double share) const { return std::min(share / map_.full, 1.0); }

  static std::string opacity(double depth) {
    return " fill-opacity='" + short_number(std::round((kFaintest + (1 - kFaintest) * depth) * 1000) / 1000) + "'";
  }

  bool has_edges() const { return cell_width_ >= kSmallCell && cell_height_ >= kSmallCell; }

  void draw_cells() {
    for (size_t row = 0; row < map_.rows.size(); ++row) {
      HICI_ASSERT(map_.values[row].size() == map_.columns.size(), map_.values[row].size(), " values in row ", row);
      for (size_t column = 0; column < map_.columns.size(); ++column) draw_cell(row, column);
    }
  }

  void draw_cell(size_t row, size_t column) {
    const double value = map_.values[row][column];
    const double left = x(column), top = y(row);
    if (std::isnan(value)) {
      if (std::min(cell_width_, cell_height_) < 2 * kSmallCell) return;  // many of them would be all that is seen
      rectangle("empty", left + 1.5, top + 1.5, cell_width_ - 3, cell_height_ - 3);
      out_ << '\n';
      return;
    }
    HICI_ASSERT(value >= 0 && value <= 1, "a share of ", value);
    out_ << "<g><title>" << html_escape(map_.columns[column]) << ", " << html_escape(map_.rows[row]) << ": "
         << percent(value, map_.full) << " %</title>";
    rectangle("cell", left, top, cell_width_, cell_height_, opacity(depth(value)));
    if (has_edges()) rectangle("edge", left, top, cell_width_, cell_height_);
    if (cell_width_ >= 4 * kCellCharacterWidth && cell_height_ >= kLineHeight) {
      const double colour = depth(value);
      const char* css_class = colour >= kStrongFrom ? "on-strong" : colour >= kMiddleFrom ? "on-middle" : "on-faint";
      text(css_class, left + cell_width_ / 2, top + cell_height_ / 2 + 4, "middle", percent(value, map_.full));
    }
    out_ << "</g>\n";
  }

  // Every so many of them, so that none meets the next.
  static size_t stride(double wanted, double available) {
    return std::max<size_t>(1, static_cast<size_t>(std::ceil(wanted / available)));
  }

  void draw_labels() {
    const size_t every_row = stride(kLineHeight, cell_height_);
    for (size_t i = 0; i < map_.rows.size(); i += every_row)
      text("tick", left_ - 7, y(i) + cell_height_ / 2 + 4, "end", map_.rows[i]);
    const size_t every_column = stride(longest_label(map_.columns) + kCellCharacterWidth, cell_width_);
    for (size_t i = 0; i < map_.columns.size(); i += every_column)
      text("tick", x(i) + cell_width_ / 2, bottom() + 18, "middle", map_.columns[i]);
    text("label", (left_ + right()) / 2, size_.height - 8, "middle", map_.x_label);
    out_ << "<text class='label' text-anchor='middle' transform='translate(13 " << px((top_ + bottom()) / 2)
         << ") rotate(-90)'>" << html_escape(map_.y_label) << "</text>\n";
  }

  void draw_legend() {
    const double left = right() + 14, step = (bottom() - top_) / kLegendSteps;
    for (int i = 0; i < kLegendSteps; ++i) {
      rectangle("cell", left, top_ + i * step, 10, step, opacity(1 - static_cast<double>(i) / (kLegendSteps - 1)));
    }
    rectangle("edge", left, top_, 10, bottom() - top_);
    out_ << '\n';
    text("tick", left + 15, top_ + 9, "start", percent(map_.full, map_.full) + "%");
    text("tick", left + 15, bottom(), "start", "0%");
  }

  const HeatMap& map_;
  const PlotSize& size_;
  double top_;
  double left_ = 0, cell_width_ = 0, cell_height_ = 0;
  std::ostringstream out_;
};

}  // namespace

std::string render_heat_map(const HeatMap& map, const PlotSize& size) {
  return SvgHeatMap(map, size, SvgHeatMap::kPlainTop).render();
}

std::string heat_map_file(const HeatMap& map) {
  const double wanted = kFileTop + 46 + kLowestRow * static_cast<double>(map.rows.size());
  const PlotSize size{
      .width = kFileWidth, .height = std::max(kFileHeight, wanted), .css_class = "", .has_direct_labels = false};
  return SvgHeatMap(map, size, kFileTop).render();
}

}  // namespace hici::report
