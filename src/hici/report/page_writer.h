// SPDX-License-Identifier: Apache-2.0
// Writes the parts of the page of a report in their order: sections, numbered tables and figures.
#pragma once

#include "hici/report/svg/plot.h"
#include "hici/report/tables/table.h"

#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

namespace hici::report {

struct HtmlCell {
  std::string text;
  std::string detail = {};  // smaller, behind it
  bool is_best = false;
};

struct HtmlTable {
  std::string caption = {};  // without its full stop
  std::vector<std::string> headings = {};
  size_t num_text_columns = 1;
  bool is_full_width = true;
  std::vector<std::vector<HtmlCell>> rows = {};  // the first cell is the row's heading
};

class PageWriter {
 public:
  PageWriter(const std::string& title, const std::string& byline);

  // `id` is a plain word, for links. The sections are listed below the byline by finish().
  void section(const std::string& id, const std::string& heading);
  void table(const Table& table);
  void table(const HtmlTable& table);
  void list(const std::vector<std::string>& lines);
  // Drawn twice, for wide and narrow windows: one drawing that shrinks would have letters too small to read.
  void figure(const Plot& plot, const PlotSize& size, const std::string& caption);
  void figure(const std::string& wide_svg, const std::string& narrow_svg, const std::string& caption);
  // Figures side by side where there is room.
  void begin_pair() { body_ << "<div class='pair'>\n"; }
  void end_pair() { body_ << "</div>\n"; }

  std::string finish();

 private:
  struct Section {
    std::string id;
    std::string heading;
  };

  void legend(const Plot& plot, const char* css_class);
  void figure_caption(const std::string& caption);
  std::string contents() const;

  std::string title_;
  std::string byline_;
  std::vector<Section> sections_;
  std::ostringstream body_;
  int num_tables_ = 0;
  int num_figures_ = 0;
};

}  // namespace hici::report
