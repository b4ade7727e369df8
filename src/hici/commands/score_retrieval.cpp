// SPDX-License-Identifier: Apache-2.0
// `hici score topics` and `hici score lines`: answers to LongEval's retrieval tasks in; correct/total for each file
// out.
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"
#include "hici/base/text_table.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/foreign_options.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/output_options.h"
#include "hici/eval/longeval/judge.h"
#include "hici/eval/longeval/scores.h"
#include "hici/text/tokenizer.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hici::commands {
namespace {

namespace fs = std::filesystem;
using eval::RetrievalTask;

struct ScoreRetrievalOptions {
  std::vector<fs::path> paths;
  fs::path output;
  std::string judge;
  eval::JudgeOptions judging;
  std::vector<const CLI::Option*> judge_options;  // those that mean nothing without --judge
};

std::string key_of_judge() {
  const char* key = std::getenv("OPENAI_API_KEY");
  return key ? key : "";
}

void validate(const ScoreRetrievalOptions& o, const std::string& command) {
  HICI_CHECK_USAGE(!o.paths.empty(), "hici ", command, ": no file or folder of answers given; use 'hici ", command,
                   " predictions'");
  for (const CLI::Option* option : o.judge_options)
    HICI_CHECK_USAGE(!o.judge.empty() || option->count() == 0, option->get_name(),
                     ": has no effect without --judge openai");
  if (o.judge.empty()) return;
  const eval::JudgeOptions& judging = o.judging;
  HICI_CHECK_USAGE(o.judge == "openai", "--judge: unknown judge '", o.judge,
                   "'; use openai (any server with chat completions, see --judge_url)");
  HICI_CHECK_USAGE(!judging.model.empty(),
                   "--judge_model: must be given with --judge openai; the name of the model that "
                   "judges, as its server knows it");
  HICI_CHECK_USAGE(judging.url.starts_with("http://") || judging.url.starts_with("https://"), "--judge_url: '",
                   eval::shown_url(judging.url, key_of_judge()), "' begins with neither http:// nor https://");
  HICI_CHECK(
      text::has_text_support(),
      "--judge: this hici was built without text support (HICI_TEXT=OFF), which brings HTTP; install Rust (cargo), "
      "configure with -DHICI_TEXT=ON and build again");
}

std::vector<fs::path> files_of(const std::vector<fs::path>& paths) {
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  for (const fs::path& path : paths) {
    for (const fs::path& file : eval::find_response_files(path)) {
      HICI_CHECK_USAGE(seen.insert(fs::canonical(file)).second, file.string(), ": is given twice");
      files.push_back(file);
    }
  }
  return files;
}

std::string shown_share(int64_t part, int64_t whole) {
  return whole > 0 ? fixed_digits(static_cast<double>(part) / static_cast<double>(whole), 3) : "-";
}

std::string score_table(const std::vector<eval::RetrievalScore>& scores,
                        const std::vector<eval::Judgement>& judgements) {
  std::vector<std::vector<std::string>> cells = {{"model", "file", "correct", "accuracy"}};
  if (!judgements.empty()) cells[0].insert(cells[0].end(), {"judged correct", "judged accuracy", "verdicts missing"});
  for (size_t i = 0; i < scores.size(); ++i) {
    const eval::RetrievalScore& score = scores[i];
    cells.push_back({score.model, score.file.filename().string(),
                     std::to_string(score.num_correct) + "/" + std::to_string(score.num_answers),
                     shown_share(score.num_correct, score.num_answers)});
    if (judgements.empty()) continue;
    const int64_t missing = judgements[i].num_missing();
    const int64_t judged = score.num_answers - missing;
    const int64_t correct = judgements[i].num_correct();
    cells.back().insert(cells.back().end(), {std::to_string(correct) + "/" + std::to_string(judged),
                                             shown_share(correct, judged), std::to_string(missing)});
  }
  return aligned_text(cells, 2);
}

// Judges the files one after the other; after trouble the others only get the verdicts that are in their caches.
std::vector<eval::Judgement> judge_all(const std::vector<fs::path>& files,
                                       const std::vector<std::vector<eval::RetrievalAnswer>>& answers,
                                       const eval::JudgeOptions& options) {
  const StopSignals signals;
  eval::Judge judge(options, eval::real_judge_connection());
  std::vector<eval::Judgement> judgements;
  for (size_t i = 0; i < files.size(); ++i) {
    eval::JudgeCache cache(eval::JudgeCache::beside(files[i]), options.model);
    Progress progress("verdicts on " + files[i].filename().string(), static_cast<int64_t>(answers[i].size()),
                      ProgressUnit::kItems, std::chrono::seconds(2));
    judgements.push_back(judge.judge(answers[i], cache, [&](int64_t done) { progress.update(done); }));
    progress.finish();
  }
  return judgements;
}

// The exit code: 1 when verdicts are missing, each reason told once.
int report_trouble(const std::vector<eval::Judgement>& judgements) {
  int64_t missing = 0;
  std::set<std::string> troubles;
  for (const eval::Judgement& judgement : judgements) {
    missing += judgement.num_missing();
    if (!judgement.trouble.empty()) troubles.insert(judgement.trouble);
  }
  for (const std::string& trouble : troubles) log_warning("--judge: ", trouble);
  if (missing > 0)
    log_warning(missing, " verdicts are missing; the others are kept, the same command asks for the rest");
  return missing > 0 ? 1 : 0;
}

// By model and file what identifies its test cases: numbers on others are not compared.
nlohmann::ordered_json cases_json(const std::vector<eval::RetrievalScore>& scores,
                                  const std::vector<std::vector<eval::RetrievalAnswer>>& answers) {
  nlohmann::ordered_json cases = nlohmann::ordered_json::object();
  for (size_t i = 0; i < scores.size(); ++i)
    cases[scores[i].model][scores[i].file.filename().string()] = eval::labels_sha256(answers[i]);
  return cases;
}

nlohmann::ordered_json result_json(const std::vector<eval::RetrievalScore>& scores,
                                   const std::vector<std::vector<eval::RetrievalAnswer>>& answers,
                                   const std::vector<eval::Judgement>& judgements, const std::string& judge_model) {
  nlohmann::ordered_json result = eval::retrieval_result(scores);
  if (judgements.empty()) return result;
  nlohmann::ordered_json judged = nlohmann::ordered_json::object();
  for (size_t i = 0; i < scores.size(); ++i)
    judged[scores[i].model][scores[i].file.filename().string()] = {
        judgements[i].num_correct(), scores[i].num_answers - judgements[i].num_missing(), judgements[i].num_missing()};
  return {
      {"by_rule", result}, {"judge_model", judge_model}, {"by_judge", judged}, {"cases", cases_json(scores, answers)}};
}

void check_places(const ScoreRetrievalOptions& o, const std::vector<fs::path>& files) {
  ReadPlaces inputs;
  for (const fs::path& file : files) inputs.push_back({file, "answers"});
  ReadPlaces of_output = inputs;
  for (const fs::path& file : files) of_output.push_back({eval::JudgeCache::beside(file), "the judge's verdicts"});
  check_output_file(o.output, of_output);
  for (const fs::path& file : files) {
    if (!o.judge.empty()) check_output_file(eval::JudgeCache::beside(file), inputs);
  }
}

int run(const ScoreRetrievalOptions& o, RetrievalTask task, const std::string& command) {
  validate(o, command);
  const std::vector<fs::path> files = files_of(o.paths);
  check_places(o, files);
  std::vector<std::vector<eval::RetrievalAnswer>> answers;
  std::vector<eval::RetrievalScore> scores;
  for (const fs::path& file : files) {
    answers.push_back(eval::read_retrieval_answers(file, task));
    scores.push_back(eval::score_retrieval(file, answers.back(), task));
  }
  std::vector<eval::Judgement> judgements;
  if (!o.judge.empty()) {
    eval::JudgeOptions judging = o.judging;
    judging.api_key = key_of_judge();
    judgements = judge_all(files, answers, judging);
  }
  show_and_write(score_table(scores, judgements), [&] {
    write_result(o.output, [&] { return result_json(scores, answers, judgements, o.judging.model).dump(1) + "\n"; });
  });
  const int exit_code = report_trouble(judgements);
  check_stop("; the verdicts until then are kept, the same command goes on from them");
  return exit_code;
}

void bind_judge(CLI::App& app, ScoreRetrievalOptions& o) {
  with_choices(add_option(app, "judge", o.judge,
                          "Ask a model as well: openai, a server with chat completions; key in OPENAI_API_KEY"),
               {"openai"});
  eval::JudgeOptions& judging = o.judging;
  o.judge_options = {
      add_option(app, "judge_url", judging.url, "Where the judge is, up to the part before /chat/completions"),
      add_option(app, "judge_model", judging.model, "Name of the model that judges"),
      add_option(app, "judge_rate", judging.requests_per_minute, "Requests in a minute at most; 0: no limit", {0, 1e6}),
      add_option(app, "judge_retries", judging.max_retries, "Times to ask again after an error or without a verdict",
                 {0, 100}),
      add_option(app, "judge_backoff", judging.backoff_seconds,
                 "Seconds before asking again, doubled each time up to 60", {0, 60}),
      add_option(app, "judge_timeout", judging.timeout_seconds, "Seconds to wait for one verdict", {0.001, 3600})};
}

CommandEntry command_of(RetrievalTask task, const std::string& name, const std::string& summary) {
  const auto bind = [task, name](CLI::App& app) -> Runner {
    const auto o = std::make_shared<ScoreRetrievalOptions>();
    app.add_option("paths", o->paths, "Files of answers, or folders that hold NAME_response.txt");
    add_option(app, "output", o->output, "Write the scores as JSON: {model: {file: [correct, answers]}}");
    add_refused(app, "test_file", "files of answers are given without an option", "write them behind the command");
    if (task == RetrievalTask::kTopics) bind_judge(app, *o);
    return [o, task, name] { return run(*o, task, name); };
  };
  return {.name = name, .summary = summary, .bind = bind};
}

}  // namespace

CommandEntry score_topics_command() {
  return command_of(RetrievalTask::kTopics, "score topics", "Score answers to LongEval's topic retrieval");
}

CommandEntry score_lines_command() {
  return command_of(RetrievalTask::kLines, "score lines", "Score answers to LongEval's line retrieval");
}

}  // namespace hici::commands
