// SPDX-License-Identifier: Apache-2.0
#include "hici/report/svg/plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <array>
#include <sstream>
#include <string_view>

namespace hici::report {
namespace {

constexpr size_t kNumColours = 6;
constexpr size_t kNumMarkers = 5;  // shares no factor with the colours: 30 owners have a pair of their own
constexpr double kLabelHeight = 15;
constexpr double kLabelReach = 150;      // names whose lines end this near to each other may meet
constexpr double kCharacterWidth = 6.6;  // of digits
constexpr double kMaxLabelWidth = 220;
constexpr double kLabelOffset = 22;  // of a name from the end of its line

std::string colour(const Look& look) { return "var(--series-" + std::to_string(look.owner % kNumColours + 1) + ")"; }

// A line's dashes: whole for the first line of the first owners.
std::string dashes(const Look& look) {
  constexpr std::array<const char*, 4> kVariants = {"", "2 5", "9 4 2 4", "12 4"};
  constexpr std::array<const char*, 4> kRounds = {"", "7 4", "14 4 3 4", "3 3"};
  const size_t round = look.owner / kNumColours;
  const char* pattern = look.variant > 0 ? kVariants[1 + (look.variant - 1) % 3] : kRounds[round % kRounds.size()];
  return *pattern == '\0' ? "" : std::string(";stroke-dasharray:") + pattern;
}

// The rectangle in which the data lie.
struct Frame {
  double left, top, right, bottom;

  double x(const Axis& axis, double value) const { return left + axis.position(value) * (right - left); }
  double y(const Axis& axis, double value) const { return bottom - axis.position(value) * (bottom - top); }
};

double longest_name(const Plot& plot) {
  double longest = 0;
  for (const Series& series : plot.series) longest = std::max(longest, text_width(series.name));
  return longest;
}

Frame frame_of(const Plot& plot, const PlotSize& size) {
  double ticks = 0;
  for (const Tick& tick : plot.y.ticks) ticks = std::max(ticks, text_width(tick.label));
  const bool has_labels = fits_direct_labels(plot, size);
  return {.left = 30 + ticks,
          .top = 12,
          .right = size.width - (has_labels ? kLabelOffset + longest_name(plot) : 14),
          .bottom = size.height - 46};
}

// Small shapes that stay apart without colour.
std::string marker(const Look& look, double x, double y) {
  const double r = 4;
  switch (look.owner % kNumMarkers) {
    case 0:
      return "<circle cx='" + px(x) + "' cy='" + px(y) + "' r='" + px(r) + "'/>";
    case 1:
      return "<rect x='" + px(x - r + 0.5) + "' y='" + px(y - r + 0.5) + "' width='" + px(2 * r - 1) + "' height='" +
             px(2 * r - 1) + "'/>";
    case 2:
      return "<path d='M" + px(x) + " " + px(y - r - 0.7) + "L" + px(x + r + 0.5) + " " + px(y + r - 0.5) + "L" +
             px(x - r - 0.5) + " " + px(y + r - 0.5) + "Z'/>";
    case 3:
      return "<path d='M" + px(x) + " " + px(y + r + 0.7) + "L" + px(x + r + 0.5) + " " + px(y - r + 0.5) + "L" +
             px(x - r - 0.5) + " " + px(y - r + 0.5) + "Z'/>";
    default:
      return "<path d='M" + px(x) + " " + px(y - r - 1) + "L" + px(x + r + 1) + " " + px(y) + "L" + px(x) + " " +
             px(y + r + 1) + "L" + px(x - r - 1) + " " + px(y) + "Z'/>";
  }
}

constexpr std::string_view kLine = "line", kFaint = "faint";

// The first line of an owner has full markers, the others hollow ones.
std::string marker_style(const Look& look) {
  return look.variant == 0 ? "fill:" + colour(look) : "fill:var(--ground);stroke:" + colour(look);
}

class SvgPlot {
 public:
  SvgPlot(const Plot& plot, const PlotSize& size) : plot_(plot), size_(size), frame_(frame_of(plot, size)) {}

  std::string render() {
    out_ << "<svg class='" << size_.css_class << "' viewBox='0 0 " << size_.width << ' ' << size_.height << "' width='"
         << size_.width << "' height='" << size_.height << "' role='img' aria-label='" << html_escape(plot_.title)
         << "'>\n";
    draw_axes();
    for (size_t i = 0; i < plot_.series.size(); ++i) draw_path(plot_.series[i].faint, i, kFaint);
    for (size_t i = 0; i < plot_.series.size(); ++i) draw_path(plot_.series[i].points, i, kLine);
    if (plot_.has_markers) draw_markers();
    if (fits_direct_labels(plot_, size_)) draw_labels();
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
      const double reach = (text_width(tick.label) + kCharacterWidth) / 2;
      if (at - reach < free_from) continue;
      free_from = at + reach;
      out_ << "<text x='" << px(at) << "' y='" << px(frame_.bottom + 18) << "' text-anchor='middle'>"
           << html_escape(tick.label) << "</text>\n";
    }
  }

  void draw_path(const std::vector<Point>& points, size_t index, std::string_view css_class) {
    std::string path;
    bool is_joined = false;
    for (const Point& point : points) {
      if (is_drawn(point)) path.append(is_joined ? "L" : "M").append(px(x(point))).append(" ").append(px(y(point)));
      is_joined = is_drawn(point);
    }
    if (path.empty()) return;
    out_ << "<path class='" << css_class << "' style='stroke:" << colour(plot_.series[index].look)
         << (css_class == kLine ? dashes(plot_.series[index].look) : "") << "' d='" << path << "'/>\n";
  }

  void draw_markers() {
    for (size_t i = 0; i < plot_.series.size(); ++i) {
      const Look& look = plot_.series[i].look;
      out_ << "<g class='marker' style='" << marker_style(look) << "'>\n";
      for (const Point& point : plot_.series[i].points) {
        if (!is_drawn(point)) continue;
        out_ << "<g><title>" << html_escape(plot_.series[i].name) << ", " << short_number(point.x) << ": "
             << short_number(point.y) << "</title>" << marker(look, x(point), y(point)) << "</g>\n";
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
    const double text_x = label.x + kLabelOffset;
    out_ << "<path class='leader' d='M" << px(label.x + 6) << ' ' << px(label.y) << 'L' << px(text_x - 4) << ' '
         << px(label.text_y) << "' style='stroke:" << colour(plot_.series[label.index].look)
         << "'/><text class='series' x='" << px(text_x) << "' y='" << px(label.text_y + 4) << "'>"
         << html_escape(plot_.series[label.index].name) << "</text>\n";
  }

  const Plot& plot_;
  const PlotSize& size_;
  Frame frame_;
  std::ostringstream out_;
};

}  // namespace

std::string render_svg(const Plot& plot, const PlotSize& size) { return SvgPlot(plot, size).render(); }

bool fits_direct_labels(const Plot& plot, const PlotSize& size) {
  const double room = size.height - 60;
  return size.has_direct_labels && plot.series.size() > 1 && longest_name(plot) <= kMaxLabelWidth &&
         static_cast<double>(plot.series.size()) * kLabelHeight <= room;
}

std::string render_swatch(const Look& look, bool has_marker) {
  return "<svg viewBox='0 0 26 12' width='26' height='12' aria-hidden='true'><path class='line' style='stroke:" +
         colour(look) + dashes(look) + "' d='M1 6H25'/>" +
         (has_marker ? "<g class='marker' style='" + marker_style(look) + "'>" + marker(look, 13, 6) + "</g>" : "") +
         "</svg>";
}

double text_width(const std::string& text) {
  double width = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) == 0x80) continue;  // the rest of a character
    if (byte >= 0xE0) {
      width += 13.5;  // as wide as high: Chinese and others
    } else if (byte >= 0x80 || (c >= 'A' && c <= 'Z') || c == '_' || c == '+' || c == '=' || c == '<' || c == '>') {
      width += c == 'W' || c == 'M' ? 12 : 9.5;
    } else if (std::string_view("ijl.,:;|!'`/() -ftI[]").find(c) != std::string_view::npos) {
      width += 5;
    } else {
      width += c == 'm' || c == 'w' || c == '%' || c == '@' ? 12 : 8;
    }
  }
  return width;
}

std::string shortened(const std::string& text, double width) {
  const std::string ellipsis = "\xE2\x80\xA6";
  if (text_width(text) <= width) return text;
  std::vector<std::string> characters;
  for (const char c : text) {
    if (characters.empty() || (static_cast<unsigned char>(c) & 0xC0) != 0x80) characters.emplace_back();
    characters.back() += c;
  }
  // Names differ at their ends as well as at their beginnings.
  std::string head, tail;
  for (size_t first = 0, last = characters.size(); first < last;) {
    const bool is_head = head.size() <= tail.size();
    const std::string& next = is_head ? characters[first++] : characters[--last];
    if (text_width(head + ellipsis + tail + next) > width) break;
    if (is_head) {
      head += next;
    } else {
      tail.insert(0, next);
    }
  }
  return head + ellipsis + tail;
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
