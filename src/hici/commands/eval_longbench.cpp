// SPDX-License-Identifier: Apache-2.0
// `hici eval longbench`: a model's predictions on LongBench, in the files of LongBench's pred.py.
#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/human.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/sha256.h"
#include "hici/base/signals.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/benchmark_options.h"
#include "hici/commands/options/foreign_options.h"
#include "hici/commands/options/output_options.h"
#include "hici/eval/answer_cases.h"
#include "hici/eval/case_journal.h"
#include "hici/eval/longbench/budget.h"
#include "hici/eval/longbench/cases.h"

#include <filesystem>
#include <memory>

namespace hici::commands {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct EvalLongBenchOptions {
  std::string longbench_dir;
  std::vector<std::string> datasets;
  bool is_e = false;
  int64_t max_length = 0;
  std::string suffix;
  BenchmarkOptions benchmark;

  fs::path folder() const {
    return fs::path(benchmark.output_dir) / (is_e ? "pred_e" : "pred") / (benchmark.model_label() + suffix);
  }
};

void check(EvalLongBenchOptions& o) {
  o.benchmark.check();
  HICI_CHECK_USAGE(is_plain_name(o.benchmark.model_label() + o.suffix), "--suffix: '", o.suffix,
                   "' is no part of a folder's name; use one without '/'");
}

std::vector<eval::LongBenchData> read_data(const EvalLongBenchOptions& o) {
  std::vector<const eval::LongBenchTask*> tasks;
  for (const std::string& name : longbench_dataset_names(o.datasets)) tasks.push_back(eval::find_longbench_task(name));
  if (tasks.empty()) tasks = eval::find_longbench_data(o.longbench_dir, o.is_e);
  std::vector<eval::LongBenchData> all;
  for (const eval::LongBenchTask* task : tasks)
    all.push_back(eval::read_longbench_data(o.longbench_dir, *task, o.is_e));
  return all;
}

eval::LongBenchBudget budget_of(const EvalLongBenchOptions& o, const eval::LongBenchData& data,
                                const AnsweringModel& model) {
  return {.max_length = o.max_length, .max_new_tokens = data.max_new_tokens, .context = model.context()};
}

// pred.py ends samsum's answers at a newline, which cannot be their first token.
generate::GenerateOptions options_of(const EvalLongBenchOptions& o, const eval::LongBenchData& data,
                                     const AnsweringModel& model) {
  generate::GenerateOptions options = o.benchmark.answering.generation;
  options.max_new_tokens = data.max_new_tokens;
  model.configure(options);
  if (data.task->name != "samsum") return options;
  const text::Ids newline = model.tokenizer.encode("\n", false);
  HICI_CHECK(!newline.empty(), model.tokenizer.path().string(),
             ": has no token for a newline, which ends samsum's answers");
  options.stop_ids.push_back(newline.back());
  options.min_new_tokens = 1;
  return options;
}

struct LongBenchRun {
  const EvalLongBenchOptions& o;
  const AnsweringModel& model;
  eval::BenchmarkPrompts prompts;
  generate::Generator generator;
};

json settings_of(const LongBenchRun& run, const eval::LongBenchData& data) {
  json settings = run.o.benchmark.settings("eval longbench", run.model);
  settings["dataset"] = std::string(data.task->name);
  settings["longbench_e"] = run.o.is_e;
  settings["max_length"] = run.o.max_length;
  settings["max_new_tokens"] = data.max_new_tokens;
  settings["data_sha256"] = sha256_hex_of_file(data.file);
  settings["prompt_sha256"] = sha256_hex(data.prompt.fill("{context}", "{input}"));
  return settings;
}

fs::path predictions_of(const EvalLongBenchOptions& o, const eval::LongBenchData& data) {
  return o.folder() / (std::string(data.task->name) + ".jsonl");
}

void write_predictions(const fs::path& path, json settings, const eval::LongBenchData& data,
                       const std::vector<json>& answers) {
  std::string text;
  for (size_t i = 0; i < answers.size(); ++i) {
    HICI_CHECK(answers[i].is_string(), path.string(), ": answer in a journal is ", shown_json(answers[i]),
               ", expected text; remove the journal");
    text += eval::longbench_prediction_line(data.cases[i], answers[i].get<std::string>()) + "\n";
  }
  settings["data"] = data.file.string();
  settings["cases"] = answers.size();
  settings[eval::kAnswersSha256] = sha256_hex(text);
  write_output_file(record_of(path), settings.dump(1) + "\n");
  write_output_file(path, text);
  log_info("wrote ", path.string());
}

// False when a stop signal came.
bool predict(LongBenchRun& run, const eval::LongBenchData& data) {
  const fs::path path = predictions_of(run.o, data);
  const json settings = settings_of(run, data);
  eval::CaseJournal journal(path, eval::identity_of(settings), static_cast<int64_t>(data.cases.size()), process_rank(),
                            run.o.benchmark.resume, false,
                            {.path = record_of(path), .required = {"command", "label", "cases"}});
  if (journal.is_finished()) log_info(path.string(), ": is there already and stays");
  const eval::LongBenchBudget budget = budget_of(run.o, data, run.model);
  const bool is_chat = eval::takes_chat_prompt(*data.task);
  std::vector<eval::PromptCase> open;
  for (const int64_t i : journal.open_cases()) {
    if (stop_requested() != 0) return false;
    const eval::LongBenchCase& asked = data.cases[static_cast<size_t>(i)];
    const std::string prompt = data.prompt.fill(asked.context, asked.input);
    open.push_back({i, eval::fit_longbench_prompt(run.prompts, prompt, is_chat, budget, asked.subject)});
  }
  if (!open.empty())
    log_info(data.task->name, ": ", open.size(), " of ", counted(static_cast<int64_t>(data.cases.size()), "case"));
  const auto on_answer = [&](int64_t i, const generate::Answer& answer) {
    journal.add(i, run.prompts.answer_text(answer));
  };
  if (!eval::answer_cases(run.generator, std::move(open), options_of(run.o, data, run.model),
                          run.o.benchmark.batch_size, on_answer))
    return false;
  journal.finish([&](const std::vector<json>& answers) { write_predictions(path, settings, data, answers); });
  return true;
}

void check_places(const EvalLongBenchOptions& o, const std::vector<eval::LongBenchData>& all) {
  ReadPlaces data;
  for (const eval::LongBenchData& each : all) data.push_back({each.file, "--longbench_dir"});
  for (const char* name : {"dataset2prompt.json", "dataset2maxlen.json"})
    data.push_back({fs::path(o.longbench_dir) / "config" / name, "--longbench_dir"});
  std::vector<fs::path> predictions;
  for (const eval::LongBenchData& each : all) predictions.push_back(predictions_of(o, each));
  o.benchmark.check_places(predictions, data);
}

int run_longbench(EvalLongBenchOptions& o) {
  check(o);
  check_output_folder(o.folder());
  const std::vector<eval::LongBenchData> all = read_data(o);
  check_places(o, all);
  const StopSignals signals;
  const AnsweringModel model = o.benchmark.answering.load();
  for (const eval::LongBenchData& data : all) budget_of(o, data, model).check(std::string(data.task->name));
  LongBenchRun run{o, model, o.benchmark.prompts(model), generate::Generator(*model.loaded.model)};
  for (const eval::LongBenchData& data : all) {
    if (!predict(run, data)) check_stop(kAnswersAreKept);
  }
  return 0;
}

}  // namespace

CommandEntry eval_longbench_command() {
  return {
      .name = "eval longbench",
      .summary = "Predictions on LongBench, for hici score longbench",
      .bind = [](CLI::App& app) -> Runner {
        const auto o = std::make_shared<EvalLongBenchOptions>();
        add_option(app, "longbench_dir", o->longbench_dir,
                   "Folder of LongBench: data/DATASET.jsonl, config/dataset2prompt.json, config/dataset2maxlen.json")
            ->required();
        app.add_option("--datasets", o->datasets, "These data sets only, a,b,c; all that have a file unless told");
        app.add_flag("-e,--e", o->is_e, "LongBench-E: data/DATASET_e.jsonl; the predictions go to pred_e");
        add_tokens(app, "max_length", o->max_length,
                   "Tokens of a prompt before the chat template; a longer one loses its middle. 0: what the model's "
                   "context has room for beside the answer");
        add_option(app, "suffix,--output_suffix", o->suffix,
                   "Behind the label in the name of the folder of predictions");
        add_refused(app, "model", "pred.py's names of models are not known here", "use --base_model and --label");
        add_refused(app, "ori", "full attention is the default", "leave it out");
        add_refused(app, "use_hici_attn", "has another name here", "use --attention hici");
        add_refused(app, "gpus", "the model is on one device", "use --device cuda:N");
        o->benchmark.output_dir = ".";
        o->benchmark.bind(app);
        return [o] { return run_longbench(*o); };
      }};
}

}  // namespace hici::commands
