// SPDX-License-Identifier: Apache-2.0
// Line plots as inline SVG. Colours are CSS variables of the page (--series-1 ...), so that one drawing serves light
// and dark; series differ by marker as well as by colour.
#pragma once

#include "hici/report/svg/axis.h"

#include <string>
#include <vector>

namespace hici::report {

struct Point {
  double x = 0;
  double y = 0;  // not finite: a gap in the line
};

// How a series looks. Colour and marker say whose it is, the same in all figures of a page; the dashes which of several
// lines of one owner it is. Owners beyond the colours share one and differ by marker and dashes.
struct Look {
  size_t owner = 0;
  size_t variant = 0;
};

struct Series {
  std::string name;
  std::vector<Point> points = {};
  std::vector<Point> faint = {};  // drawn thinly behind: the raw values of a smoothed line
  Look look = {};
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
  bool has_direct_labels = true;  // names at the ends of the lines where they fit; else the page shows a legend
};

// Do the names of the series fit beside the ends of their lines, whole?
bool fits_direct_labels(const Plot& plot, const PlotSize& size);

std::string render_svg(const Plot& plot, const PlotSize& size);

// Line and marker of a series, as in the plot, for a legend.
std::string render_swatch(const Look& look, bool has_marker);

// Width of text of 12 or 13 pixels in a wide font for screens, where the reader's is not known: seldom less than it is.
double text_width(const std::string& text);
// `text`, or as much of its beginning and end as is not wider than `width`, with an ellipsis between.
std::string shortened(const std::string& text, double width);

// A coordinate. Tenths of a pixel are enough and keep the page small.
std::string px(double value);

// Text as it may stand in HTML and SVG, in attributes too.
std::string html_escape(const std::string& text);

}  // namespace hici::report
