// SPDX-License-Identifier: Apache-2.0
// A table of shares as an SVG drawing: the darker (in dark windows the brighter) a cell, the nearer to `full`. The
// drawing brings its style, and stands in the report page as well as in a file of its own.
#pragma once

#include "hici/report/svg/plot.h"

#include <string>
#include <vector>

namespace hici::report {

struct HeatMap {
  std::string title;                        // for screen readers, and above a drawing that stands alone
  std::string x_label;                      // what the columns are
  std::string y_label;                      // what the rows are
  std::vector<std::string> columns;         // names, from the left
  std::vector<std::string> rows;            // names, from the top
  std::vector<std::vector<double>> values;  // [row][column] in [0, 1]; NaN: nothing was measured, an empty cell
  double full = 1;                          // the share that gets the whole colour, as do larger ones; above 0
};

// At least one row and one column. Labels that would meet are left out, and the percents in cells too small for them.
std::string render_heat_map(const HeatMap& map, const PlotSize& size);

// A whole .svg file, with the title above the map.
std::string heat_map_file(const HeatMap& map);

}  // namespace hici::report
