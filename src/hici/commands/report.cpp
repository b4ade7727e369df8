// SPDX-License-Identifier: Apache-2.0
// `hici report`: run directories in; a page out, and its tables as text, CSV and LaTeX.
#include "hici/base/clean_text.h"
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/commands/commands.h"
#include "hici/commands/output_options.h"
#include "hici/report/collect.h"
#include "hici/report/page.h"
#include "hici/report/report_tables.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace hici::commands {
namespace {

namespace fs = std::filesystem;

struct ReportOptions {
  std::vector<fs::path> paths;
  fs::path output = "report.html";
  std::string title = "HiCI report";
};

// REPORT.html to REPORT.perplexity.csv.
fs::path beside(const fs::path& output, const report::Table& table, const char* extension) {
  fs::path path = output;
  return path.replace_extension("." + table.name + extension);
}

std::string shown_tables(const std::vector<report::Table>& tables) {
  std::string shown;
  for (const report::Table& table : tables) {
    if (!table.is_for_files)
      shown += (shown.empty() ? "" : "\n") + table.full_caption() + "\n" + report::table_text(table);
  }
  return shown;
}

void write_tables(const std::vector<report::Table>& tables, const fs::path& output) {
  for (const report::Table& table : tables) {
    const fs::path latex = beside(output, table, ".tex");
    write_output_file(beside(output, table, ".csv"), report::table_csv(table));
    write_output_file(latex, report::table_latex(table));
    log_info("wrote ", beside(output, table, ".csv").string(), " and ", latex.filename().string());
  }
}

void validate(const ReportOptions& options) {
  HICI_CHECK_USAGE(!options.paths.empty(), "no run directory given; use 'hici report RUN_DIR... --output report.html'");
  const std::string extension = options.output.extension().string();
  HICI_CHECK_USAGE(extension == ".html" || extension == ".htm", "--output: '", options.output.string(),
                   "' does not end in .html; the tables are written beside it as .csv and .tex");
}

int run(const ReportOptions& options) {
  validate(options);
  check_output_file(options.output);
  const report::ReportData data = report::collect(options.paths);
  const std::vector<report::Table> tables = report::report_tables(data);
  show_and_write(shown_tables(tables), [&] {
    write_output_file(options.output, report::render_page(data, clean_text(options.title)));
    log_info("wrote ", options.output.string());
    write_tables(tables, options.output);
  });
  return data.num_named_left_out > 0 ? 1 : 0;
}

Runner bind(CLI::App& app) {
  const auto options = std::make_shared<ReportOptions>();
  app.add_option("runs", options->paths,
                 "Run directories, searched for metrics.jsonl, results of 'hici eval', scores and answers; or such "
                 "files");
  add_option(app, "output", options->output, "The page to write; each table goes beside it as .NAME.csv and .NAME.tex");
  add_option(app, "title", options->title, "Title of the page");
  return [options] { return run(*options); };
}

}  // namespace

CommandEntry report_command() {
  return {.name = "report",
          .summary = "Make one page of all that was measured, and its tables, from run directories",
          .bind = bind};
}

}  // namespace hici::commands
