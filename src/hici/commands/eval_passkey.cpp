// SPDX-License-Identifier: Apache-2.0
// `hici eval passkey`: a number hidden in filler text, at several lengths; accuracies by length and depth.
#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/process_rank.h"
#include "hici/base/signals.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/answering_options.h"
#include "hici/commands/options/output_options.h"
#include "hici/eval/case_journal.h"
#include "hici/eval/passkey/run.h"
#include "hici/ops/types.h"
#include "hici/report/model_names.h"
#include "hici/report/svg/passkey_map.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hici::commands {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct EvalPasskeyOptions {
  AnsweringOptions answering;
  eval::PasskeyPlan plan;
  int64_t batch_size = 0;  // 0: by the free memory
  fs::path output;
  fs::path figure;
  std::string label;
  bool resume = false;

  fs::path figure_path() const {
    return figure.empty() && !output.empty() ? fs::path(output).replace_extension(".svg") : figure;
  }
};

void check_options(EvalPasskeyOptions& o) {
  o.plan.validate();
  HICI_CHECK_USAGE(o.figure.empty() || o.figure.extension() == ".svg", "--figure: '", o.figure.string(),
                   "' does not end in .svg");
  HICI_CHECK_USAGE(o.output.empty() || o.figure_path() != o.output, "--output: '", o.output.string(),
                   "' is the figure's place; use a name that ends in .json");
  HICI_CHECK_USAGE(!o.output.empty() || !o.resume, "--resume: there is nothing to go on from without --output");
  HICI_CHECK_USAGE(!o.output.empty() || process_rank().world == 1, "--output: missing; ", process_rank().world,
                   " processes share the tests, and their answers meet beside it");
  o.answering.check();
}

// Dual Chunk Attention is there to do without a stretched RoPE.
eval::PasskeyRope rope_of(const EvalPasskeyOptions& o, const AnsweringModel& model) {
  const config::ModelConfig& config = model.loaded.model->config();
  const double factor = config.rope.context_factor;
  if (o.answering.generation.attention == nn::AttentionKind::kDca) return {o.plan.max_tokens, factor, factor};
  return eval::passkey_rope(config, model.loaded.context_size, o.plan.max_tokens);
}

std::string label_of(const EvalPasskeyOptions& o) {
  return result_label(o.label, o.answering.base_model, o.answering.peft_model);
}

// Above the map: a path without its folders.
std::string title_of(const EvalPasskeyOptions& o) {
  return o.label.empty() ? report::short_name(label_of(o)) : o.label;
}

// All that repeats the result.
json settings_of(const EvalPasskeyOptions& o, const AnsweringModel& model, const eval::PasskeyRope& rope) {
  json settings = o.answering.settings(model);
  settings.update({{"command", "eval passkey"},
                   {"label", label_of(o)},
                   {"context_size", rope.context},
                   {"max_tokens", o.plan.max_tokens},
                   {"interval", o.plan.interval},
                   {"num_tests", o.plan.num_tests}});
  return settings;
}

json result_json(json settings, const std::vector<eval::PasskeyLength>& lengths) {
  settings["lengths"] = json::array();
  for (const eval::PasskeyLength& length : lengths) settings["lengths"].push_back(json(to_json(length)));
  return settings;
}

// The figure first: where the result is, the figure is too.
void write_files(const EvalPasskeyOptions& o, const json& result, const std::vector<eval::PasskeyLength>& lengths) {
  const fs::path figure = o.figure_path();
  if (!figure.empty()) write_output_file(figure, report::heat_map_file(report::passkey_heat_map(lengths, title_of(o))));
  if (!o.output.empty()) write_output_file(o.output, result.dump(1) + "\n");
  for (const fs::path& file : {o.output, figure}) {
    if (!file.empty()) log_info("wrote ", file.string());
  }
}

// The table of a result that was there already.
int show_finished(const EvalPasskeyOptions& o) {
  log_info(o.output.string(), ": is there already; nothing is left to do");
  const json result = read_json_file(o.output);
  write_stdout(report::passkey_table_text(eval::passkey_lengths_from_json(result, o.output.string())));
  return 0;
}

// Where answers are kept: in the journal, or with no --output in memory.
class KeptTests {
 public:
  KeptTests(const EvalPasskeyOptions& o, const json& settings) : tests_(static_cast<size_t>(o.plan.num_cases())) {
    if (!o.output.empty())
      journal_.emplace(o.output, eval::identity_of(settings), o.plan.num_cases(), process_rank(), o.resume, false,
                       eval::FinishedRecord{.path = o.output, .required = {"command", "label", "lengths"}});
  }

  bool is_finished() const { return journal_ && journal_->is_finished(); }
  std::vector<int64_t> open() const {
    if (journal_) return journal_->open_cases();
    std::vector<int64_t> all(tests_.size());
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  void keep(int64_t index, const eval::PasskeyTest& test) {
    journal_ ? journal_->add(index, json(to_json(test))) : void(tests_[static_cast<size_t>(index)] = test);
  }
  // False while other processes have tests left.
  bool finish(const std::function<void(std::vector<eval::PasskeyTest> tests)>& write) {
    if (!journal_) {
      write(tests_);
      return true;
    }
    return journal_->finish([&](const std::vector<json>& answers) {
      std::vector<eval::PasskeyTest> tests;
      for (const json& answer : answers) tests.push_back(eval::passkey_test_from_json(answer, "the journal"));
      write(std::move(tests));
    });
  }

 private:
  std::optional<eval::CaseJournal> journal_;
  std::vector<eval::PasskeyTest> tests_;
};

int run_eval_passkey(EvalPasskeyOptions& o) {
  check_options(o);
  const ReadPlaces inputs = o.answering.read_places();
  for (const fs::path& file : {o.output, o.figure_path()}) check_output_file(file, inputs);
  // Before the model is loaded; among several processes CaseJournal knows whose file it may be.
  HICI_CHECK(o.resume || o.output.empty() || process_rank().world > 1 || !fs::exists(o.output), o.output.string(),
             ": is there already; give --resume to keep it, or another place for the output, or remove it");
  const StopSignals signals;
  const AnsweringModel model = o.answering.load();
  const eval::PasskeyRope rope = rope_of(o, model);
  const json settings = settings_of(o, model, rope);
  KeptTests kept(o, settings);
  if (kept.is_finished()) return show_finished(o);
  nn::CausalLm& lm = *model.loaded.model;
  eval::PasskeyRun run{.plan = o.plan, .rope = rope, .generation = o.answering.generation, .batch_size = o.batch_size};
  model.configure(run.generation);
  const auto keep = [&](int64_t index, const eval::PasskeyTest& test) { kept.keep(index, test); };
  if (!eval::answer_passkey_tests(lm, model.tokenizer, run, kept.open(), keep))
    check_stop(o.output.empty() ? "; nothing is kept without --output" : kAnswersAreKept);
  const bool is_whole = kept.finish([&](std::vector<eval::PasskeyTest> tests) {
    const auto lengths = eval::passkey_lengths(o.plan, run.rope, std::move(tests));
    show_and_write(report::passkey_table_text(lengths),
                   [&] { write_files(o, result_json(settings, lengths), lengths); });
  });
  if (!is_whole) log_info(o.output.string(), ": other processes have tests left; the last one writes it");
  return 0;
}

}  // namespace

CommandEntry eval_passkey_command() {
  return {"eval passkey", "Find a number hidden in filler text: accuracy by length and depth",
          [](CLI::App& app) -> Runner {
            auto o = std::make_shared<EvalPasskeyOptions>();
            o->answering.bind(app);
            add_tokens(app, "max_tokens", o->plan.max_tokens, "Length of the longest prompts");
            add_tokens(app, "interval", o->plan.interval, "Lengths are this, twice this, ... up to --max_tokens");
            add_option(app, "num_tests", o->plan.num_tests, "Prompts of each length", kFromOne);
            add_option(app, "batch_size", o->batch_size,
                       "Prompts of one length that are worked on together; 0: what the free memory allows, 8 at most",
                       {0, config::kMaxBatch});
            add_option(app, "output", o->output, "File for the result as JSON; the map goes beside it as .svg");
            add_option(app, "figure", o->figure, "File for the map of length and depth, .svg");
            add_bool(app, "resume", o->resume, "Go on from what an earlier run of the same command left");
            add_option(app, "label", o->label, "Name of this model in reports and on the map");
            add_inherited(app, "cache_dir", "nothing is downloaded");
            add_inherited(app, "flash_attn", "the fastest exact attention of the device is taken by itself");
            return [o] { return run_eval_passkey(*o); };
          }};
}

}  // namespace hici::commands
