// SPDX-License-Identifier: Apache-2.0
#include "hici/report/plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <array>
#include <sstream>

namespace hici::report {
namespace {

constexpr size_t kNumColours = 6;
constexpr double kLabelHeight = 15;
constexpr double kLabelReach = 150;  // names whose lines end this near to each other may meet
constexpr double kLabelCharacterWidth = 6.6;
constexpr size_t kMaxLabelCharacters = 28;

std::string colour(size_t index) { return "var(--series-" + std::to_string(index % kNumColours + 1) + ")"; }

// The end of a long name, in whole characters of UTF-8: paths differ there.
std::string short_label(const std::string& text) {
  if (text.size() <= kMaxLabelCharacters) return text;
  size_t start = text.size() - kMaxLabelCharacters + 1;
  while (start < text.size() && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) ++start;
  return "\xE2\x80\xA6" + text.substr(start);
}

// The rectangle in which the data lie.
struct Frame {
  double left, top, right, bottom;

  double x(const Axis& axis, double value) const { return left + axis.position(value) * (right - left); }
  double y(const Axis& axis, double value) const { return bottom - axis.position(value) * (bottom - top); }
};

Frame frame_of(const Plot& plot, const PlotSize& size) {
  size_t longest = 0;
  for (const Series& series : plot.series) longest = std::max(longest, short_label(series.name).size());
  size_t tick_characters = 0;
  for (const Tick& tick : plot.y.ticks) tick_characters = std::max(tick_characters, tick.label.size());
  const bool has_room = size.has_direct_labels && plot.series.size() > 1;
  return {.left = 30 + static_cast<double>(tick_characters) * kLabelCharacterWidth,
          .top = 12,
          .right = size.width - (has_room ? 8 + static_cast<double>(longest) * kLabelCharacterWidth : 14),
          .bottom = size.height - 46};
}

// Small shapes that stay apart without colour.
std::string marker(size_t index, double x, double y) {
  const double r = 4;
  switch (index % 4) {
    case 0:
      return "<circle cx='" + px(x) + "' cy='" + px(y) + "' r='" + px(r) + "'/>";
    case 1:
      return "<rect x='" + px(x - r + 0.5) + "' y='" + px(y - r + 0.5) + "' width='" + px(2 * r - 1) + "' height='" +
             px(2 * r - 1) + "'/>";
    case 2:
      return "<path d='M" + px(x) + " " + px(y - r - 0.7) + "L" + px(x + r + 0.5) + " " + px(y + r - 0.5) + "L" +
             px(x - r - 0.5) + " " + px(y + r - 0.5) + "Z'/>";
    default:
      return "<path d='M" + px(x) + " " + px(y - r - 1) + "L" + px(x + r + 1) + " " + px(y) + "L" + px(x) + " " +
             px(y + r + 1) + "L" + px(x - r - 1) + " " + px(y) + "Z'/>";
  }
}

class SvgPlot {
 public:
  SvgPlot(const Plot& plot, const PlotSize& size) : plot_(plot), size_(size), frame_(frame_of(plot, size)) {}

  std::string render() {
    out_ << "<svg class='" << size_.css_class << "' viewBox='0 0 " << size_.width << ' ' << size_.height << "' width='"
         << size_.width << "' height='" << size_.height << "' role='img' aria-label='" << html_escape(plot_.title)
         << "'>\n";
    draw_axes();
    for (size_t i = 0; i < plot_.series.size(); ++i) draw_path(plot_.series[i].faint, i, "faint");
    for (size_t i = 0; i < plot_.series.size(); ++i) draw_path(plot_.series[i].points, i, "line");
    if (plot_.has_markers) draw_markers();
    if (size_.has_direct_labels && plot_.series.size() > 1) draw_labels();
    out_ << "</svg>\n";
    return out_.str();
  }

 private:
  double x(const Point& point) const { return frame_.x(plot_.x, point.x); }
  double y(const Point& point) const { return frame_.y(plot_.y, point.y); }
  bool is_drawn(const Point& point) const {
    return std::isfinite(point.y) && (plot_.y.scale == Scale::kLinear || point.y > 0);
  }

  void draw_axes() {
    for (const Tick& tick : plot_.y.ticks) {
      const double at = frame_.y(plot_.y, tick.value);
      out_ << "<line class='grid' x1='" << px(frame_.left) << "' x2='" << px(frame_.right) << "' y1='" << px(at)
           << "' y2='" << px(at) << "'/><text x='" << px(frame_.left - 7) << "' y='" << px(at + 4)
           << "' text-anchor='end'>" << html_escape(tick.label) << "</text>\n";
    }
    draw_x_ticks();
    out_ << "<path class='axis' d='M" << px(frame_.left) << ' ' << px(frame_.top) << 'V' << px(frame_.bottom) << 'H'
         << px(frame_.right) << "'/>\n";
    const double middle = (frame_.top + frame_.bottom) / 2;
    out_ << "<text class='label' x='" << px((frame_.left + frame_.right) / 2) << "' y='" << px(size_.height - 8)
         << "' text-anchor='middle'>" << html_escape(plot_.x_label) << "</text><text class='label' text-anchor='middle'"
         << " transform='translate(13 " << px(middle) << ") rotate(-90)'>" << html_escape(plot_.y_label) << "</text>\n";
  }

  // A name that would meet the one before it is left out.
  void draw_x_ticks() {
    double free_from = 0;
    for (const Tick& tick : plot_.x.ticks) {
      const double at = frame_.x(plot_.x, tick.value);
      out_ << "<line class='tick' x1='" << px(at) << "' x2='" << px(at) << "' y1='" << px(frame_.bottom) << "' y2='"
           << px(frame_.bottom + 5) << "'/>\n";
      const double reach = static_cast<double>(tick.label.size() + 1) * kLabelCharacterWidth / 2;
      if (at - reach < free_from) continue;
      free_from = at + reach;
      out_ << "<text x='" << px(at) << "' y='" << px(frame_.bottom + 18) << "' text-anchor='middle'>"
           << html_escape(tick.label) << "</text>\n";
    }
  }

  void draw_path(const std::vector<Point>& points, size_t index, const char* css_class) {
    std::string path;
    bool is_joined = false;
    for (const Point& point : points) {
      if (is_drawn(point)) path.append(is_joined ? "L" : "M").append(px(x(point))).append(" ").append(px(y(point)));
      is_joined = is_drawn(point);
    }
    if (path.empty()) return;
    out_ << "<path class='" << css_class << "' style='stroke:" << colour(index) << "' d='" << path << "'/>\n";
  }

  void draw_markers() {
    for (size_t i = 0; i < plot_.series.size(); ++i) {
      out_ << "<g class='marker' style='fill:" << colour(i) << "'>\n";
      for (const Point& point : plot_.series[i].points) {
        if (!is_drawn(point)) continue;
        out_ << "<g><title>" << html_escape(plot_.series[i].name) << ", " << short_number(point.x) << ": "
             << short_number(point.y) << "</title>" << marker(i, x(point), y(point)) << "</g>\n";
      }
      out_ << "</g>\n";
    }
  }

  struct Label {
    size_t index;
    double x, y;    // where the line ends
    double text_y;  // where its name stands
  };

  // The end of each line, from top to bottom.
  std::vector<Label> line_ends() const {
    std::vector<Label> labels;
    for (size_t i = 0; i < plot_.series.size(); ++i) {
      const auto& points = plot_.series[i].points;
      const auto last = std::find_if(points.rbegin(), points.rend(), [this](const Point& p) { return is_drawn(p); });
      if (last != points.rend()) labels.push_back({i, x(*last), y(*last), y(*last)});
    }
    std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.y < b.y; });
    return labels;
  }

  // Names beside the ends of their lines, moved apart so that no two of the same corner overlap.
  void draw_labels() {
    std::vector<Label> labels = line_ends();
    const auto is_near = [](const Label& a, const Label& b) { return std::abs(a.x - b.x) < kLabelReach; };
    for (size_t i = 0; i < labels.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (is_near(labels[i], labels[j]))
          labels[i].text_y = std::max(labels[i].text_y, labels[j].text_y + kLabelHeight);
      }
    }
    for (size_t i = labels.size(); i-- > 0;) {
      labels[i].text_y = std::min(labels[i].text_y, frame_.bottom - 4);
      for (size_t j = i + 1; j < labels.size(); ++j) {
        if (is_near(labels[i], labels[j]))
          labels[i].text_y = std::min(labels[i].text_y, labels[j].text_y - kLabelHeight);
      }
    }
    for (const Label& label : labels) draw_label(label);
  }

  void draw_label(const Label& label) {
    const double text_x = label.x + 22;
    out_ << "<path class='leader' d='M" << px(label.x + 6) << ' ' << px(label.y) << 'L' << px(text_x - 4) << ' '
         << px(label.text_y) << "' style='stroke:" << colour(label.index) << "'/><text class='series' x='" << px(text_x)
         << "' y='" << px(label.text_y + 4) << "'>" << html_escape(short_label(plot_.series[label.index].name))
         << "</text>\n";
  }

  const Plot& plot_;
  const PlotSize& size_;
  Frame frame_;
  std::ostringstream out_;
};

}  // namespace

std::string render_svg(const Plot& plot, const PlotSize& size) { return SvgPlot(plot, size).render(); }

std::string render_swatch(size_t series_index, bool has_marker) {
  const std::string stroke = "style='stroke:" + colour(series_index) + ";fill:" + colour(series_index) + "'";
  return "<svg viewBox='0 0 26 12' width='26' height='12' aria-hidden='true'><g " + stroke +
         "><path class='line' d='M1 6H25'/>" + (has_marker ? marker(series_index, 13, 6) : "") + "</g></svg>";
}

std::string px(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string html_escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace hici::report
