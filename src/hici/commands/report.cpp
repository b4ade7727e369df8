// SPDX-License-Identifier: Apache-2.0
// `hici report`: run directories in; a page out, and its tables as text, CSV and LaTeX.
#include "hici/base/clean_text.h"
#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/commands/commands.h"
#include "hici/commands/flag_text.h"
#include "hici/commands/options/output_options.h"
#include "hici/report/collect.h"
#include "hici/report/page.h"
#include "hici/report/tables/report_tables.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <vector>

namespace hici::commands {
namespace {

constexpr size_t kHeadBytes = 4096;

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
    log_info("wrote ", beside(output, table, ".csv").string(), " and ", latex.string());
  }
}

// A table of ours says what LaTeX needs for it.
bool is_written_table(const fs::path& latex) {
  std::error_code ignored;
  if (latex.extension() != ".tex" || !fs::is_regular_file(latex, ignored)) return false;
  std::ifstream file(latex);
  std::string text(kHeadBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text.find(report::kLatexNeeds) != std::string::npos;
}

// Tables of an earlier report under this name, which look as if they belonged to this one. They may be all that is left
// of that one, and so they stay.
void name_earlier_tables(const std::vector<report::Table>& tables, const fs::path& output) {
  std::set<fs::path> written;
  for (const report::Table& table : tables) written.insert(beside(output, table, ".tex").filename());
  const std::string begin = output.stem().string() + ".";
  std::vector<fs::path> earlier;
  std::error_code problem;
  for (fs::directory_iterator at(folder_of(output), problem), end; !problem && at != end; at.increment(problem)) {
    const fs::path name = at->path().filename();
    if (name.string().starts_with(begin) && !written.contains(name) && is_written_table(at->path()))
      earlier.push_back(at->path());
  }
  std::sort(earlier.begin(), earlier.end());
  for (const fs::path& latex : earlier)
    log_warning(latex.string(), ": is of an earlier report, this one has no such table; remove it and its .csv");
}

void validate(const ReportOptions& options) {
  HICI_CHECK_USAGE(!options.paths.empty(), "no run directory given; use 'hici report RUN_DIR... --output report.html'");
  const std::string extension = options.output.extension().string();
  HICI_CHECK_USAGE(extension == ".html" || extension == ".htm", "--output: '", options.output.string(),
                   "' does not end in .html; the tables are written beside it as .csv and .tex");
}

int run(const ReportOptions& options) {
  validate(options);
  ReadPlaces inputs;
  for (const fs::path& path : options.paths) inputs.push_back({path, "what is reported"});
  check_output_file(options.output, inputs);
  report::ReportData data = report::collect(options.paths);
  for (std::string& why : data.left_out) why = with_flags(why);
  const std::vector<report::Table> tables = report::report_tables(data);
  for (const report::Table& table : tables) {
    for (const char* ending : {".csv", ".tex"}) check_output_file(beside(options.output, table, ending), inputs);
  }
  show_and_write(shown_tables(tables), [&] {
    write_output_file(options.output, report::render_page(data, clean_text(options.title)));
    log_info("wrote ", options.output.string());
    write_tables(tables, options.output);
    name_earlier_tables(tables, options.output);
  });
  return data.num_named_left_out > 0 ? 1 : 0;
}

Runner bind_report(CLI::App& app) {
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
          .bind = bind_report};
}

}  // namespace hici::commands
