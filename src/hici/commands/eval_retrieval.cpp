// SPDX-License-Identifier: Apache-2.0
// `hici eval topics` and `hici eval lines`: a model's answers to LongEval's retrieval tasks, in LongEval's files.
#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/sha256.h"
#include "hici/base/signals.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/benchmark_options.h"
#include "hici/commands/options/foreign_options.h"
#include "hici/commands/options/output_options.h"
#include "hici/config/rope.h"
#include "hici/eval/answer_cases.h"
#include "hici/eval/case_journal.h"
#include "hici/eval/longeval/cases.h"
#include "hici/eval/longeval/response.h"
#include "hici/eval/longeval/scores.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

namespace hici::commands {
namespace {

namespace fs = std::filesystem;
using eval::RetrievalTask;
using nlohmann::json;

constexpr const char* kAnswer = "answer";
constexpr const char* kPromptTokens = "prompt_tokens";

struct EvalRetrievalOptions {
  RetrievalTask task = RetrievalTask::kTopics;
  std::string command;
  std::vector<fs::path> testcases;
  BenchmarkOptions benchmark;

  int64_t max_new_tokens() const { return benchmark.answering.generation.max_new_tokens; }
};

// A file of test cases and the file of answers that it becomes.
struct ResponseFile {
  fs::path testcases;
  std::vector<eval::RetrievalCase> cases;
  fs::path path;
};

std::vector<ResponseFile> read_testcases(const EvalRetrievalOptions& o) {
  const fs::path folder = fs::path(o.benchmark.output_dir) / o.benchmark.model_label();
  std::vector<ResponseFile> files;
  std::map<fs::path, fs::path> origins;
  for (const fs::path& path : o.testcases) {
    for (const fs::path& file : eval::find_retrieval_cases(path, o.task)) {
      const fs::path response = folder / eval::response_file_name(file, o.task);
      const auto [other, is_new] = origins.try_emplace(response, file);
      HICI_CHECK_USAGE(is_new, file.string(), ": would be answered in ", response.string(), " as ",
                       other->second.string(), " is; give them one at a time with another --label");
      files.push_back({file, eval::read_retrieval_cases(file, o.task), response});
    }
  }
  return files;
}

// Answers in the making: what is left to do of a file.
struct Work {
  const ResponseFile* file;
  json settings;
  eval::CaseJournal journal;
  std::vector<eval::PromptCase> prompts = {};  // of the cases without an answer
  std::vector<int64_t> prompt_tokens = {};     // by case, where there is such a prompt
};

std::vector<Work> find_work(const EvalRetrievalOptions& o, const std::vector<ResponseFile>& files,
                            const AnsweringModel& model, const eval::BenchmarkPrompts& prompts) {
  std::vector<Work> all;
  for (const ResponseFile& file : files) {
    json settings = o.benchmark.settings(o.command, model);
    settings["max_new_tokens"] = o.max_new_tokens();
    settings["data_sha256"] = sha256_hex_of_file(file.testcases);
    eval::CaseJournal journal(file.path, eval::identity_of(settings), static_cast<int64_t>(file.cases.size()),
                              process_rank(), o.benchmark.resume, false,
                              {.path = record_of(file.path), .required = {"command", "label", "cases"}});
    if (journal.is_finished()) log_info(file.path.string(), ": is there already and stays");
    all.push_back({&file, std::move(settings), std::move(journal)});
    Work& work = all.back();
    work.prompt_tokens.resize(file.cases.size());
    for (const int64_t i : work.journal.open_cases()) {
      const eval::RetrievalCase& asked = file.cases[static_cast<size_t>(i)];
      work.prompts.push_back({i, prompts.chat(asked.prompt, asked.subject)});
      work.prompt_tokens[static_cast<size_t>(i)] = static_cast<int64_t>(work.prompts.back().prompt.size());
    }
  }
  return all;
}

// Of all prompts at once: the way out is one for all.
void check_context(const EvalRetrievalOptions& o, const std::vector<Work>& all, const AnsweringModel& model) {
  int64_t longest = 0;
  std::string subject;
  for (const Work& work : all) {
    for (size_t i = 0; i < work.prompt_tokens.size(); ++i) {
      if (work.prompt_tokens[i] <= longest) continue;
      longest = work.prompt_tokens[i];
      subject = work.file->cases[i].subject;
    }
  }
  if (longest == 0) return;  // nothing is left to do
  const int64_t needed = longest + o.max_new_tokens();
  HICI_CHECK(needed <= model.context(), subject, ": a prompt of ", longest, " tokens, the longest, and an answer of ",
             o.max_new_tokens(), " are more than the model's context of ", model.context(), "; give --context_size ",
             needed, " (RoPE factor ", config::context_extension_factor(model.loaded.model->config(), needed),
             "), or fewer files");
}

// The JSON first: the answers' name says that all is there.
void write_answers(const EvalRetrievalOptions& o, const Work& work, const std::vector<json>& answers) {
  std::string text;
  int64_t num_correct = 0, longest = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    const JsonObject kept(answers[i], work.file->path.string() + ": answer in a journal");
    const eval::RetrievalAnswer answer{work.file->cases[i].label, kept.string(kAnswer)};
    const int64_t prompt_tokens = kept.integer(kPromptTokens, 1, INT64_MAX);
    text += eval::response_line(answer, prompt_tokens, o.task) + "\n";
    num_correct += eval::has_retrieved(answer, o.task) ? 1 : 0;
    longest = std::max(longest, prompt_tokens);
  }
  const auto num_answers = static_cast<int64_t>(answers.size());
  if (o.task == RetrievalTask::kLines) text += eval::accuracy_line(num_correct, num_answers);
  json result = work.settings;
  result["testcases"] = work.file->testcases.string();
  result["correct"] = num_correct;
  result["cases"] = num_answers;
  result["longest_prompt"] = longest;
  result[eval::kAnswersSha256] = sha256_hex(text);
  show_and_write(detail::concat(work.file->path.string(), "  correct ", num_correct, "/", num_answers, "\n"), [&] {
    write_output_file(record_of(work.file->path), result.dump(1) + "\n");
    write_output_file(work.file->path, text);
  });
}

void check_places(const EvalRetrievalOptions& o, const std::vector<ResponseFile>& files) {
  ReadPlaces data;
  std::vector<fs::path> answers;
  for (const ResponseFile& file : files) {
    data.push_back({file.testcases, "--testcases"});
    answers.push_back(file.path);
  }
  o.benchmark.check_places(answers, data);
}

int run(EvalRetrievalOptions& o) {
  o.benchmark.check();
  HICI_CHECK_USAGE(!o.testcases.empty(), "hici ", o.command,
                   ": no test cases given; give a file of LongEval's or a folder of such files");
  check_output_folder(fs::path(o.benchmark.output_dir) / o.benchmark.model_label());
  const std::vector<ResponseFile> files = read_testcases(o);
  check_places(o, files);
  const StopSignals signals;
  const AnsweringModel model = o.benchmark.answering.load();
  const eval::BenchmarkPrompts prompts = o.benchmark.prompts(model);
  std::vector<Work> all = find_work(o, files, model, prompts);
  check_context(o, all, model);
  generate::GenerateOptions options = o.benchmark.answering.generation;
  model.configure(options);
  generate::Generator generator(*model.loaded.model);
  for (Work& work : all) {
    const auto on_answer = [&](int64_t i, const generate::Answer& answer) {
      const int64_t prompt_tokens = work.prompt_tokens[static_cast<size_t>(i)];
      work.journal.add(i, {{kAnswer, prompts.answer_text(answer)}, {kPromptTokens, prompt_tokens}});
    };
    if (!eval::answer_cases(generator, std::move(work.prompts), options, o.benchmark.batch_size, on_answer))
      check_stop(kAnswersAreKept);
    work.journal.finish([&](const std::vector<json>& answers) { write_answers(o, work, answers); });
  }
  return 0;
}

// The options of LongEval's eval.py.
void bind_longeval(CLI::App& app, bool is_topics) {
  constexpr const char* kDevice = "the model is on one device";
  add_one_meaning(app, {"task",
                        {is_topics ? "topics" : "lines"},
                        "the command says the task",
                        is_topics ? "use hici eval lines" : "use hici eval topics"});
  add_refused(app, "model_name_or_path", "has another name here", "use --base_model");
  add_refused(app, "test_dir", "test cases are given by their files or folder",
              is_topics ? "use --testcases DIR/topics/testcases" : "use --testcases DIR/lines/testcases");
  add_inherited_value(app, "num_gpus", kDevice);
  add_inherited_value(app, "max_gpu_memory", kDevice);
  for (const char* name : {"longchat_flash_attn", "enable_longlora_flash_attn"})
    add_inherited(app, name, "the fastest exact attention of the device is taken by itself");
  add_refused(app, "longchat_ratio", "config.json says the rotary embedding", "use --context_size, which stretches it");
  add_refused(app, "enable_hici_grouped_attn", "a prompt is one segment here", "use --attention hici");
  add_refused(app, "hici_segment_size", "a prompt is one segment here", "use --attention hici");
  add_refused(app, "eval_shortest_only", "test cases are given by their files", "give the file of the shortest ones");
  add_refused(app, "framework", "hici runs the model itself", "leave it out");
}

CommandEntry command_of(RetrievalTask task, const std::string& name, const std::string& summary,
                        int64_t max_new_tokens) {
  const auto bind = [=](CLI::App& app) -> Runner {
    const auto o = std::make_shared<EvalRetrievalOptions>();
    o->task = task;
    o->command = name;
    const bool is_topics = task == RetrievalTask::kTopics;
    app.add_option("testcases,--testcases", o->testcases,
                   detail::concat("Files of test cases, or folders that hold ", is_topics ? "N_topics" : "N_lines",
                                  ".jsonl; may also stand alone, before the options"));
    o->benchmark.answering.generation.max_new_tokens = max_new_tokens;
    o->benchmark.output_dir = is_topics ? "predictions/topics" : "predictions/lines";
    o->benchmark.chat_template.value = "vicuna";
    add_tokens(app, "max_new_tokens", o->benchmark.answering.generation.max_new_tokens,
               "Tokens of an answer at the most");
    o->benchmark.bind(app);
    bind_longeval(app, is_topics);
    return [o] { return run(*o); };
  };
  return {.name = name, .summary = summary, .bind = bind};
}

}  // namespace

CommandEntry eval_topics_command() {
  return command_of(RetrievalTask::kTopics, "eval topics", "Answer LongEval's topic retrieval: 5 to 25 topics", 50);
}

CommandEntry eval_lines_command() {
  return command_of(RetrievalTask::kLines, "eval lines", "Answer LongEval's line retrieval: 200 to 680 lines", 100);
}

}  // namespace hici::commands
