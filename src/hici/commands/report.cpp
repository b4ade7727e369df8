// SPDX-License-Identifier: Apache-2.0
// `hici report`: run directories in; a page, the perplexity table as text, CSV and LaTeX out.
#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/log.h"
#include "hici/commands/commands.h"
#include "hici/report/collect.h"
#include "hici/report/page.h"
#include "hici/report/perplexity_table.h"

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

void write_beside(const fs::path& output, const char* extension, const std::string& text) {
  fs::path path = output;
  path.replace_extension(extension);
  write_file_atomically(path, text);
  log_info("wrote ", path.string());
}

void validate(const ReportOptions& options) {
  HICI_CHECK_USAGE(!options.paths.empty(),
                   "hici report: no run directory given; use 'hici report RUN_DIR... --output report.html'");
  const std::string extension = options.output.extension().string();
  HICI_CHECK_USAGE(extension == ".html" || extension == ".htm", "--output: '", options.output.string(),
                   "' does not end in .html; the table is written beside it as .csv and .tex");
}

int run(const ReportOptions& options) {
  validate(options);
  const report::ReportData data = report::collect(options.paths);
  const report::PerplexityTable table = report::make_perplexity_table(data.perplexities);
  if (!table.rows.empty()) {
    write_stdout("perplexity by evaluation context\n" + report::table_text(table));
    write_beside(options.output, ".csv", report::table_csv(table));
    write_beside(options.output, ".tex", report::table_latex(table));
  }
  write_file_atomically(options.output, report::render_page(data, report::clean_text(options.title)));
  log_info("wrote ", options.output.string());
  return 0;
}

Runner bind(CLI::App& app) {
  const auto options = std::make_shared<ReportOptions>();
  app.add_option("runs", options->paths,
                 "Run directories (searched for metrics.jsonl and results), or result files of 'hici eval ppl'");
  add_option(app, "output", options->output, "The page to write; the perplexity table goes beside it as .csv and .tex");
  add_option(app, "title", options->title, "Title of the page");
  return [options] { return run(*options); };
}

}  // namespace

CommandEntry report_command() {
  return {
      .name = "report", .summary = "Make one page of loss curves and perplexities from run directories", .bind = bind};
}

}  // namespace hici::commands
