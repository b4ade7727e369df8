// SPDX-License-Identifier: Apache-2.0
// `hici score longbench`: folders of predictions in; result.json in each, a table as text, CSV and LaTeX out.
#include "hici/base/clean_text.h"
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/benchmark_options.h"
#include "hici/commands/options/foreign_options.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/output_options.h"
#include "hici/eval/longbench/scores.h"
#include "hici/eval/longbench/stored_result.h"
#include "hici/report/answer_settings.h"
#include "hici/report/tables/report_tables.h"
#include "hici/report/tell_apart.h"

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace hici::commands {
namespace {

namespace fs = std::filesystem;

struct ScoreLongBenchOptions {
  std::vector<fs::path> folders;
  std::vector<std::string> datasets;
  bool by_length = false;
  std::string code_ratio = name_of(eval::CodeRatio::kLevenshtein);
  fs::path table;
};

void validate(const ScoreLongBenchOptions& o) {
  HICI_CHECK_USAGE(!o.folders.empty(),
                   "hici score longbench: no folder of predictions given; use 'hici score longbench pred/MODEL'");
  HICI_CHECK_USAGE(o.table.empty() || o.table.extension() == ".csv", "--table: '", o.table.string(),
                   "' does not end in .csv; the LaTeX table is written beside it");
  std::set<fs::path> seen;
  for (const fs::path& folder : o.folders)
    HICI_CHECK_USAGE(seen.insert(fs::weakly_canonical(folder)).second, folder.string(), ": is given twice");
}

void note_missing(const eval::LongBenchModelScores& model) {
  std::string missing;
  for (const eval::LongBenchTask& task : eval::longbench_tasks()) {
    if (!model.find(task)) missing += (missing.empty() ? "" : ", ") + std::string(task.name);
  }
  if (!missing.empty()) log_info(model.model, ": means are over what was scored; without ", missing);
}

bool is_by_dataset(const report::Table& table) { return table.name.starts_with("longbench-datasets"); }

// Data sets first, so that the means stand at the end.
std::string datasets_then_means(const std::vector<report::Table>& tables) {
  std::string text;
  for (const bool by_dataset : {true, false}) {
    for (const report::Table& table : tables) {
      if (is_by_dataset(table) != by_dataset) continue;
      text += (text.empty() ? "" : "\n") + table.full_caption() + "\n" + report::table_text(table);
    }
  }
  return text;
}

// Means of other data sets or settings go to files of their own: groups.csv, groups-2.csv ...
void write_tables(const fs::path& path, const std::vector<report::Table>& tables) {
  int number = 0;
  for (const report::Table& table : tables) {
    if (is_by_dataset(table)) continue;
    fs::path csv = path;
    if (++number > 1) csv.replace_filename(path.stem().string() + "-" + std::to_string(number) + ".csv");
    fs::path latex = csv;
    latex.replace_extension(".tex");
    write_output_file(csv, report::table_csv(table));
    write_output_file(latex, report::table_latex(table));
    log_info("wrote ", csv.string(), " and ", latex.string());
  }
}

report::LongBenchResult result_of(const eval::LongBenchModelScores& scores, const fs::path& folder, bool by_length) {
  report::LongBenchResult result{.label = clean_text(scores.model),
                                 .scores = scores,
                                 .by_length = by_length,
                                 .conditions = {},
                                 .origin = {.path = fs::weakly_canonical(folder).string()}};
  report::set_longbench_settings(result, folder);
  return result;
}

// Before anything is written: what a result.json that came with the predictions says otherwise, which is kept.
void keep_other_results(const ScoreLongBenchOptions& o, const eval::LongBenchScoring& scoring,
                        const std::vector<report::LongBenchResult>& results) {
  for (size_t i = 0; i < results.size(); ++i) {
    const std::vector<std::string> lines = eval::differences_from_stored(o.folders[i], results[i].scores, scoring);
    if (lines.empty()) continue;
    for (const std::string& line : lines) log_warning(line);
    const fs::path kept = eval::free_name_for_stored(o.folders[i]);
    fs::rename(o.folders[i] / eval::kLongBenchResultName, kept);
    log_info(kept.string(), ": is the result.json that was there");
  }
}

void write_results(const ScoreLongBenchOptions& o, const std::vector<report::LongBenchResult>& results) {
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string text = eval::longbench_result_text(results[i].scores, o.by_length);
    write_result(o.folders[i] / eval::kLongBenchResultName, [&] { return text; });
    write_output_file(o.folders[i] / eval::kLongBenchRecordName,
                      eval::longbench_record_text(results[i].scores, o.by_length, text));
  }
}

void add_answers(ReadPlaces& inputs, const fs::path& folder) {
  for (const eval::LongBenchTask& task : eval::longbench_tasks()) {
    for (const char* ending : {".jsonl", ".json"})
      inputs.push_back({folder / (std::string(task.name) + ending), "answers"});
  }
}

// What a folder gets is compared with the answers in it alone: of many folders, each with all would take minutes.
void check_places(const ScoreLongBenchOptions& o) {
  ReadPlaces inputs;
  for (const fs::path& folder : o.folders) add_answers(inputs, folder);
  check_output_file(o.table, inputs);
  if (!o.table.empty()) check_output_file(fs::path(o.table).replace_extension(".tex"), inputs);
  for (const fs::path& folder : o.folders) {
    if (!fs::is_directory(folder)) continue;
    ReadPlaces own;
    add_answers(own, folder);
    for (const char* name : {eval::kLongBenchResultName, eval::kLongBenchRecordName})
      check_output_file(folder / name, own);
  }
}

int run(const ScoreLongBenchOptions& o) {
  validate(o);
  check_places(o);
  const eval::LongBenchScoring scoring{.datasets = longbench_dataset_names(o.datasets),
                                       .by_length = o.by_length,
                                       .code_ratio = parse_enum<eval::CodeRatio>(o.code_ratio, "`code_ratio`")};
  report::ReportData data;
  for (const fs::path& folder : o.folders) {
    const eval::LongBenchModelScores scores = eval::score_longbench(folder, scoring);
    if (!o.by_length && scoring.datasets.empty()) note_missing(scores);
    data.longbench.push_back(result_of(scores, folder, o.by_length));
  }
  report::tell_apart(data);
  const std::vector<report::Table> tables = report::longbench_tables(data.longbench);
  show_and_write(datasets_then_means(tables), [&] {
    keep_other_results(o, scoring, data.longbench);
    write_results(o, data.longbench);
    if (!o.table.empty()) write_tables(o.table, tables);
  });
  return 0;
}

Runner bind_score_longbench(CLI::App& app) {
  const auto o = std::make_shared<ScoreLongBenchOptions>();
  app.add_option("folders", o->folders, "Folders of predictions (pred/MODEL), with DATASET.jsonl in each");
  app.add_option("--datasets", o->datasets, "Score these data sets only, a,b,c; all that have a file unless told");
  // A flag, which takes no True or False: the folder that may follow would be read as one.
  app.add_flag("-e,--e", o->by_length, "The predictions are those of LongBench-E: scores by length of the context");
  with_choices_of<eval::CodeRatio>(add_option(
      app, "code_ratio", o->code_ratio,
      "lcc and repobench-p: levenshtein, fuzz.ratio with python-Levenshtein installed; difflib, without it"));
  add_option(app, "table", o->table,
             "Write group means (with -e the scores by length) as CSV, and as LaTeX beside it with .tex");
  add_refused(app, "model", "folders of predictions are given by their paths", "write pred/NAME without an option");
  return [o] { return run(*o); };
}

}  // namespace

CommandEntry score_longbench_command() {
  return {.name = "score longbench",
          .summary = "Score predictions on LongBench: all 21 data sets, groups and means",
          .bind = bind_score_longbench};
}

}  // namespace hici::commands
