// SPDX-License-Identifier: Apache-2.0
#include "hici/report/page.h"

#include "hici/base/version.h"
#include "hici/report/figures.h"
#include "hici/report/page_style.h"
#include "hici/report/perplexity_table.h"
#include "hici/report/plot.h"
#include "hici/report/run_facts.h"

#include <sstream>

namespace hici::report {
namespace {

constexpr PlotSize kWide{.width = 780, .height = 400, .css_class = "wide", .has_direct_labels = true};
constexpr PlotSize kHalf{.width = 378, .height = 260, .css_class = "wide", .has_direct_labels = false};
constexpr PlotSize kNarrow{.width = 350, .height = 300, .css_class = "narrow", .has_direct_labels = false};

class Page {
 public:
  Page(const ReportData& data, const std::string& title)
      : data_(data), table_(make_perplexity_table(data.perplexities)), title_(title) {}

  std::string render() {
    write_head();
    if (!data_.perplexities.empty()) write_perplexities();
    if (!data_.runs.empty()) write_runs();
    out_ << "<footer>Made by hici " << html_escape(kVersion) << " (git " << html_escape(kGitRevision)
         << ") from the files of the run directories. Drawings and styles are part of this page; it loads "
            "nothing.</footer>\n"
         << "</main>\n</body>\n</html>\n";
    return out_.str();
  }

 private:
  void write_head() {
    out_ << "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'/>\n"
         << "<meta name='viewport' content='width=device-width, initial-scale=1'/>\n<title>" << html_escape(title_)
         << "</title>\n<style>" << kPageStyle << kSvgStyle << "</style>\n</head>\n<body>\n<main>\n<h1>"
         << html_escape(title_) << "</h1>\n<p class='byline'>" << data_.runs.size()
         << (data_.runs.size() == 1 ? " training run, " : " training runs, ") << data_.perplexities.size()
         << (data_.perplexities.size() == 1 ? " perplexity" : " perplexities") << "</p>\n";
  }

  void write_perplexities() {
    out_ << "<h2>Perplexity by context</h2>\n";
    write_perplexity_table();
    write_figure(
        perplexity_plot(table_), kWide,
        "Perplexity (lower is better) against the context at which it was measured; both axes are logarithmic.");
  }

  void write_perplexity_table() {
    out_
        << "<div class='scroll'><table class='full'>\n<caption>" << numbered("Table", ++num_tables_)
        << "Perplexity by evaluation context in tokens"
        << (table_.rows.size() > 1 ? "; the lowest of each column is bold" : "")
        << ".</caption>\n<thead><tr><th class='text' scope='col'>Model</th><th class='text' scope='col'>Attention</th>";
    for (const int64_t context : table_.contexts) out_ << "<th scope='col'>" << context << "</th>";
    out_ << "</tr></thead>\n<tbody>\n";
    for (size_t r = 0; r < table_.rows.size(); ++r) {
      const PerplexityTable::Row& row = table_.rows[r];
      out_ << "<tr><th class='text' scope='row'>" << html_escape(row.label) << "</th><td class='text'>"
           << html_escape(row.attention) << "</td>";
      for (size_t c = 0; c < row.perplexity.size(); ++c) {
        out_ << (table_.is_best(r, c) ? "<td class='best'>" : "<td>") << shown_perplexity(row.perplexity[c]) << "</td>";
      }
      out_ << "</tr>\n";
    }
    out_ << "</tbody></table></div>\n";
  }

  void write_runs() {
    out_ << "<h2>Training</h2>\n";
    write_facts();
    const Plot loss = loss_plot(data_.runs);
    write_figure(loss, kWide,
                 std::string("Training loss by optimizer step. Thin: each logged step; thick: moving mean. ") +
                     (loss.y.scale == Scale::kLog ? "Logarithmic loss axis." : ""));
    out_ << "<div class='pair'>\n";
    write_figure(learning_rate_plot(data_.runs), kHalf, "Learning rate by optimizer step.");
    write_figure(speed_plot(data_.runs), kHalf,
                 "Training speed by optimizer step; thin: each logged step, thick: moving mean.");
    out_ << "</div>\n";
  }

  void write_facts() {
    std::vector<std::vector<Fact>> facts;
    for (const TrainingRun& run : data_.runs) facts.push_back(facts_of(run));
    out_ << "<div class='scroll'><table>\n<caption>" << numbered("Table", ++num_tables_)
         << "The training runs.</caption>\n<thead><tr><th class='text' scope='col'>Run</th>";
    for (const TrainingRun& run : data_.runs) out_ << "<th scope='col'>" << html_escape(run.name) << "</th>";
    out_ << "</tr></thead>\n<tbody>\n";
    for (size_t i = 0; i < facts.front().size(); ++i) {
      out_ << "<tr><th class='text' scope='row'>" << html_escape(facts.front()[i].name) << "</th>";
      for (const std::vector<Fact>& of_run : facts) out_ << "<td>" << html_escape(of_run[i].value) << "</td>";
      out_ << "</tr>\n";
    }
    out_ << "</tbody></table></div>\n";
  }

  // Drawn twice, for wide and narrow windows: one drawing that shrinks would have letters too small to read.
  void write_figure(const Plot& plot, const PlotSize& size, const std::string& caption) {
    out_ << "<figure>\n";
    if (plot.series.size() > 1) write_legend(plot, size.has_direct_labels ? "legend narrow" : "legend");
    out_ << render_svg(plot, size) << render_svg(plot, kNarrow) << "<figcaption>" << numbered("Figure", ++num_figures_)
         << html_escape(caption) << "</figcaption>\n</figure>\n";
  }

  void write_legend(const Plot& plot, const char* css_class) {
    out_ << "<ul class='" << css_class << "'>\n";
    for (size_t i = 0; i < plot.series.size(); ++i) {
      out_ << "<li>" << render_swatch(i, plot.has_markers) << "<span>" << html_escape(plot.series[i].name)
           << "</span></li>\n";
    }
    out_ << "</ul>\n";
  }

  static std::string numbered(const char* word, int number) {
    return std::string("<b class='number'>") + word + " " + std::to_string(number) + ".</b> ";
  }

  const ReportData& data_;
  PerplexityTable table_;
  const std::string& title_;
  std::ostringstream out_;
  int num_tables_ = 0;
  int num_figures_ = 0;
};

}  // namespace

std::string render_page(const ReportData& data, const std::string& title) { return Page(data, title).render(); }

}  // namespace hici::report
