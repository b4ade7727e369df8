// SPDX-License-Identifier: Apache-2.0
// Line plots as inline SVG. Colours are CSS variables of the page (--series-1 ...), so that one drawing serves light
// and dark; series differ by marker as well as by colour.
#pragma once

#include "hici/report/axis.h"

#include <string>
#include <vector>

namespace hici::report {

struct Point {
  double x = 0;
  double y = 0;  // not finite: a gap in the line
};

struct Series {
  std::string name;
  std::vector<Point> points;
  std::vector<Point> faint;  // drawn thinly behind: the raw values of a smoothed line
};

struct Plot {
  std::string title;  // for screen readers
  std::string x_label;
  std::string y_label;
  Axis x;
  Axis y;
  bool has_markers = false;  // a marker, with its value as a hint, at each point
  std::vector<Series> series;
};

// Drawn in its own units, which are CSS pixels at the width it is made for.
struct PlotSize {
  double width = 720;
  double height = 380;
  const char* css_class = "";
  bool has_direct_labels = true;  // names at the ends of the lines; else the page shows a legend
};

std::string render_svg(const Plot& plot, const PlotSize& size);

// Line and marker of a series, as in the plot, for a legend.
std::string render_swatch(size_t series_index, bool has_marker);

// A coordinate. Tenths of a pixel are enough and keep the page small.
std::string px(double value);

// Text as it may stand in HTML and SVG, in attributes too.
std::string html_escape(const std::string& text);

}  // namespace hici::report
