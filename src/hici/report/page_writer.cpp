// SPDX-License-Identifier: Apache-2.0
#include "hici/report/page_writer.h"

#include "hici/base/version.h"
#include "hici/report/page_style.h"

namespace hici::report {
namespace {

constexpr PlotSize kNarrow{.width = 350, .height = 300, .css_class = "narrow", .has_direct_labels = false};

std::string numbered(const char* word, int number) {
  return std::string("<b class='number'>") + word + " " + std::to_string(number) + ".</b> ";
}

std::string caption_of(const Table& table) {
  const size_t count = table.best == Best::kHighestOfRow ? table.value_columns.size() : table.rows.size();
  if (count < 2 || table.best == Best::kNone) return table.full_caption();
  if (table.best == Best::kLowestOfColumn) return table.full_caption() + "; the lowest of each column is bold";
  return table.full_caption() + "; the highest of each " + (table.best == Best::kHighestOfRow ? "row" : "column") +
         " is bold";
}

// Paths and names of data sets or models may be broken where they have joints.
std::string breakable(const std::string& name) {
  std::string html;
  for (const char c : name) {
    html += html_escape(std::string(1, c));
    if (c == '/' || c == '_' || c == '-') html += "<wbr/>";
  }
  return html;
}

// A heading is broken between its words alone; a single word needs nothing for that.
std::string heading_html(const std::string& heading, bool is_text) {
  if (heading.find(' ') == std::string::npos)
    return (is_text ? "<th class='text' scope='col'>" : "<th scope='col'>") + breakable(heading) + "</th>";
  std::string html = is_text ? "<th class='text words' scope='col'><span>" : "<th class='words' scope='col'><span>";
  for (const char c : heading) html += c == ' ' ? "</span> <span>" : html_escape(std::string(1, c));
  return html + "</span></th>";
}

std::string cell_html(const HtmlCell& cell, bool is_text, bool is_heading) {
  const std::string tag = is_heading ? "th" : "td";
  std::string css = is_text ? "text" : "";
  if (cell.is_best) css += css.empty() ? "best" : " best";
  std::string html = "<" + tag + (css.empty() ? "" : " class='" + css + "'") + (is_heading ? " scope='row'" : "") + ">";
  html += is_heading ? breakable(cell.text) : html_escape(cell.text);
  if (!cell.detail.empty()) html += " <small>" + html_escape(cell.detail) + "</small>";
  return html + "</" + tag + ">";
}

}  // namespace

PageWriter::PageWriter(const std::string& title, const std::string& byline) : title_(title), byline_(byline) {}

void PageWriter::section(const std::string& id, const std::string& heading) {
  sections_.push_back({id, heading});
  body_ << "<h2 id='" << id << "'>" << html_escape(heading) << "</h2>\n";
}

void PageWriter::table(const Table& table) {
  HtmlTable html{.caption = caption_of(table), .num_text_columns = table.name_columns.size()};
  for (const std::string& column : table.name_columns) html.headings.push_back(capitalised(column));
  html.headings.insert(html.headings.end(), table.value_columns.begin(), table.value_columns.end());
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const Table::Row& row = table.rows[r];
    std::vector<HtmlCell> cells;
    for (const std::string& name : row.names) cells.push_back({.text = name});
    for (size_t c = 0; c < row.values.size(); ++c)
      cells.push_back({.text = table.shown(r, c, "-"),
                       .detail = row.details.empty() ? "" : row.details[c],
                       .is_best = table.is_best(r, c)});
    html.rows.push_back(std::move(cells));
  }
  this->table(html);
}

// A table that is wider than the page scrolls inside its box, by keyboard too, which needs the focus.
void PageWriter::table(const HtmlTable& table) {
  const std::string id = "table-" + std::to_string(++num_tables_);
  body_ << "<div class='scroll' role='region' tabindex='0' aria-labelledby='" << id << "'><table"
        << (table.is_full_width ? " class='full'" : "") << ">\n<caption id='" << id << "'><span>"
        << numbered("Table", num_tables_) << html_escape(table.caption) << ".</span></caption>\n<thead><tr>";
  for (size_t i = 0; i < table.headings.size(); ++i)
    body_ << heading_html(table.headings[i], i < table.num_text_columns);
  body_ << "</tr></thead>\n<tbody>\n";
  for (const std::vector<HtmlCell>& row : table.rows) {
    body_ << "<tr>";
    for (size_t i = 0; i < row.size(); ++i) body_ << cell_html(row[i], i < table.num_text_columns, i == 0);
    body_ << "</tr>\n";
  }
  body_ << "</tbody></table></div>\n";
}

void PageWriter::list(const std::vector<std::string>& lines) {
  body_ << "<ul class='notes'>\n";
  for (const std::string& line : lines) body_ << "<li>" << breakable(line) << "</li>\n";
  body_ << "</ul>\n";
}

void PageWriter::figure(const Plot& plot, const PlotSize& size, const std::string& caption) {
  body_ << "<figure>\n";
  if (plot.series.size() > 1) legend(plot, fits_direct_labels(plot, size) ? "legend narrow" : "legend");
  body_ << render_svg(plot, size) << render_svg(plot, kNarrow);
  figure_caption(caption);
}

void PageWriter::figure(const std::string& wide_svg, const std::string& narrow_svg, const std::string& caption) {
  body_ << "<figure>\n" << wide_svg << narrow_svg;
  figure_caption(caption);
}

void PageWriter::figure_caption(const std::string& caption) {
  body_ << "<figcaption>" << numbered("Figure", ++num_figures_) << html_escape(caption) << "</figcaption>\n</figure>\n";
}

void PageWriter::legend(const Plot& plot, const char* css_class) {
  body_ << "<ul class='" << css_class << "'>\n";
  for (const Series& series : plot.series) {
    body_ << "<li>" << render_swatch(series.look, plot.has_markers) << "<span>" << breakable(series.name)
          << "</span></li>\n";
  }
  body_ << "</ul>\n";
}

std::string PageWriter::contents() const {
  if (sections_.size() < 2) return "";
  std::string html = "<nav aria-label='Contents'><ul>\n";
  for (const Section& section : sections_)
    html += "<li><a href='#" + section.id + "'>" + html_escape(section.heading) + "</a></li>\n";
  return html + "</ul></nav>\n";
}

std::string PageWriter::finish() {
  std::ostringstream page;
  page << "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'/>\n"
       << "<meta name='viewport' content='width=device-width, initial-scale=1'/>\n<title>" << html_escape(title_)
       << "</title>\n<style>" << kPageStyle << kSvgStyle << "</style>\n</head>\n<body>\n<main>\n<h1>"
       << html_escape(title_) << "</h1>\n<p class='byline'>" << html_escape(byline_) << "</p>\n"
       << contents() << body_.str() << "<footer>Made by hici " << html_escape(kVersion) << " (git "
       << html_escape(kGitRevision)
       << ") from the files of the run directories. Drawings and styles are part of this page; it loads "
          "nothing.</footer>\n"
       << "</main>\n</body>\n</html>\n";
  return page.str();
}

}  // namespace hici::report
