// SPDX-License-Identifier: Apache-2.0
// `hici generate`: text behind a prompt, streamed; or answers to a file of prompts.
#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"
#include "hici/base/text_table.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/answering_options.h"
#include "hici/commands/options/foreign_options.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/output_options.h"
#include "hici/generate/answer_text.h"
#include "hici/generate/generator.h"
#include "hici/generate/prompt_encoder.h"
#include "hici/text/chat_template_files.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>

namespace hici::commands {
namespace {

struct GenerateCommandOptions {
  AnsweringOptions answering;
  Option<std::string> prompt;
  Option<std::string> prompt_file;
  Option<std::string> batch_file;
  Option<std::string> material;
  Option<std::string> question;
  std::string output;
  std::string system;
  bool chat = false;
  std::string prompt_style;
  std::string truncate = "error";
  std::vector<std::string> stop;
  std::vector<std::string> stop_token;
  bool ignore_eos = false;
  bool skip_special_tokens = true;
  bool return_ids = false;
  int64_t num_return = 1;
  Option<int64_t> batch_size{1};
  Option<uint64_t> seed{42};
  Option<int64_t&> min_new_tokens{answering.generation.min_new_tokens};
  Option<double&> temperature{answering.generation.sampling.temperature};
  Option<double&> repetition_penalty{answering.generation.sampling.repetition_penalty};
  OverwriteOption overwrite;

  generate::GenerateOptions& generation() { return answering.generation; }
  const generate::GenerateOptions& generation() const { return answering.generation; }
  // Answers as JSON lines: from a file of prompts, or several to one.
  bool is_batch() const { return !batch_file.value.empty() || num_return > 1; }
};

std::optional<data::PromptStyle> style_of(const GenerateCommandOptions& o) {
  if (o.prompt_style.empty()) return std::nullopt;
  return parse_enum<data::PromptStyle>(o.prompt_style, "--prompt_style");
}

// All that the options alone decide, before any file is read.
void check_options(GenerateCommandOptions& o) {
  const int sources = o.prompt.typed() + o.prompt_file.typed() + o.batch_file.typed() + o.material.typed();
  HICI_CHECK_USAGE(!o.question.typed() || o.material.typed(),
                   "--question: is asked about the text of --material; give that, or the question as --prompt");
  HICI_CHECK_USAGE(sources <= 1, "--prompt, --prompt_file, --batch_file, --material: give one of them");
  HICI_CHECK_USAGE(sources == 1 || isatty(STDIN_FILENO) == 0,
                   "--prompt: missing; give a text, --prompt_file, --batch_file, or a text on standard input");
  HICI_CHECK_USAGE(o.chat || o.system.empty(), "--system: has no effect without --chat; give --chat");
  HICI_CHECK_USAGE(!o.chat || o.prompt_style.empty(), "--chat, --prompt_style: give one of the two");
  style_of(o);
  HICI_CHECK_USAGE(o.is_batch() || !o.batch_size.typed(),
                   "--batch_size: has no effect with one answer; give --batch_file or --num_return");
  HICI_CHECK_USAGE(o.is_batch() || o.output.empty(),
                   "--output: has no effect with one answer, which goes to stdout; give --batch_file or --num_return");
  HICI_CHECK_USAGE(!o.output.empty() || !o.overwrite.typed(),
                   "--overwrite: has no effect without --output; leave it out");
  HICI_CHECK_USAGE(o.is_batch() || !o.return_ids,
                   "--return_ids: has no effect with one answer; give --batch_file or --num_return");
  HICI_CHECK_USAGE(!o.min_new_tokens.typed() || !o.ignore_eos || !o.stop_token.empty(),
                   "--min_new_tokens: has no effect with --ignore_eos and no --stop_token; leave one of them out");
  o.generation().sampling.seed = o.seed.value;
  o.answering.check();
  const bool is_greedy = o.generation().sampling.is_greedy();
  HICI_CHECK_USAGE(o.num_return == 1 || !is_greedy, "--num_return: ", o.num_return,
                   " greedy answers would be the same; give a --temperature");
  HICI_CHECK_USAGE(!is_greedy || !o.seed.typed(),
                   "--seed: has no effect with --temperature 0; give a temperature, or leave it out");
  generate::StopStrings{o.stop};
  parse_enum<generate::Truncation>(o.truncate, "--truncate");
}

// Without the line end that every text file has at its end.
std::string without_last_line_end(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (!text.empty() && text.back() == '\r') text.pop_back();
  return text;
}

std::vector<generate::Prompt> read_prompts(const GenerateCommandOptions& o) {
  constexpr size_t kMaxPromptBytes = size_t{1} << 30;
  if (!o.batch_file.value.empty()) return generate::read_prompt_file(o.batch_file.value);
  if (o.prompt.typed()) return {{o.prompt.value, nullptr, "--prompt"}};
  if (o.material.typed()) {
    const std::string text = read_file(o.material.value, kMaxPromptBytes) + "\n" + o.question.value;
    return {{text, nullptr, o.material.value}};
  }
  const std::string& file = o.prompt_file.value;
  if (!file.empty()) return {{without_last_line_end(read_file(file, kMaxPromptBytes)), nullptr, file}};
  std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  return {{without_last_line_end(std::move(text)), nullptr, "standard input"}};
}

// Tokens that a prompt may have.
int64_t room_for_prompts(const GenerateCommandOptions& o, const AnsweringModel& model) {
  HICI_CHECK_USAGE(o.generation().max_new_tokens < model.context(), "--max_new_tokens: ", o.generation().max_new_tokens,
                   " leaves no room for a prompt in the context of ", model.context(),
                   "; use fewer or a larger --context_size");
  return model.context() - o.generation().max_new_tokens;
}

std::vector<int64_t> stop_ids_of(const GenerateCommandOptions& o, const AnsweringModel& model) {
  std::vector<int64_t> ids;
  if (!o.ignore_eos) ids = model.generation_config.stop_ids;
  for (const std::string& token : o.stop_token) {
    const auto id = model.tokenizer.token_to_id(token);
    HICI_CHECK_USAGE(id.has_value(), "--stop_token: '", token, "' is no token of ", model.tokenizer.path().string(),
                     "; use --stop for text");
    ids.push_back(*id);
  }
  return ids;
}

// How tokens are drawn is for the options alone.
void note_other_sampling(const GenerateCommandOptions& o, const io::GenerationConfig& config) {
  const std::string file = o.answering.base_model + ": its generation_config.json asks for ";
  if (!o.temperature.typed() && config.do_sample)
    log_info(file, "drawn tokens", config.sampling.empty() ? "" : " with ", config.sampling,
             "; without --temperature each token is the most probable one");
  if (!o.generation().sampling.is_greedy() && !config.sampling.empty())
    log_info(file, config.sampling, "; --temperature, --top_k and --top_p alone say how tokens are drawn");
}

// The model's own wishes, where no option says otherwise.
generate::GenerateOptions generation_of(const GenerateCommandOptions& o, const AnsweringModel& model) {
  generate::GenerateOptions options = o.generation();
  model.configure(options);
  options.stop_ids = stop_ids_of(o, model);
  if (o.repetition_penalty.typed()) options.sampling.repetition_penalty = o.repetition_penalty.value;
  note_other_sampling(o, model.generation_config);
  return options;
}

std::string rate_text(const char* what, int64_t tokens, double seconds) {
  return detail::concat(what, ": ", counted(tokens, "token"), " in ", fixed_digits(seconds, 2), " s, ",
                        fixed_digits(static_cast<double>(tokens) / std::max(seconds, 1e-9), 1), " tokens/s");
}

void log_speed(const generate::GenerateSpeed& speed) {
  log_info(rate_text("prefill", speed.prompt_tokens, speed.prefill_seconds), "; ",
           rate_text("decoding", speed.decoded_tokens, speed.decode_seconds));
}

// What is the same for every prompt of a run.
struct Run {
  const GenerateCommandOptions& o;
  const text::Tokenizer& tokenizer;
  generate::Generator generator;
  generate::GenerateOptions options;

  generate::AnswerText new_text() const { return {tokenizer, o.stop, o.skip_special_tokens}; }
};

int exit_code() { return stop_requested() == 0 ? 0 : 128 + stop_requested(); }

int stream_answer(Run& run, const generate::Ids& prompt) {
  generate::AnswerText text = run.new_text();
  run.generator.generate({prompt}, run.options, [&](size_t, int64_t id) {
    const std::string piece = text.push(id);
    if (!piece.empty()) write_stdout(piece);
    return !text.found_stop();
  });
  write_stdout(text.finish() + "\n");
  log_speed(run.generator.speed());
  return exit_code();
}

struct Sequence {
  size_t prompt;
  int64_t sample;
};

std::string answer_line(const Run& run, const Sequence& sequence, size_t prompt_tokens, const generate::Answer& answer,
                        const generate::AnswerText& text) {
  nlohmann::ordered_json json{{"prompt", sequence.prompt}};
  if (run.o.num_return > 1) json["sample"] = sequence.sample;
  json["answer"] = text.text();
  const generate::FinishReason reason = text.found_stop() ? generate::FinishReason::kCallback
                                                          : answer.finish_reason;  // its last piece may hold the string
  json["finish_reason"] = name_of(reason);
  if (reason == generate::FinishReason::kStopToken) json["stop_token_id"] = answer.stop_id;
  json["prompt_tokens"] = prompt_tokens;
  json["tokens"] = answer.ids.size();
  if (run.o.return_ids) json["ids"] = answer.ids;
  return json.dump() + "\n";
}

// The lines of answers in the order of the prompts: to stdout as they come, or to a file when all are there.
class AnswerLines {
 public:
  explicit AnswerLines(std::string output) : output_(std::move(output)) {}

  void add(size_t sequence, std::string line) {
    waiting_[sequence] = std::move(line);
    ++num_ended_;
    for (auto next = waiting_.find(num_written_); next != waiting_.end(); next = waiting_.find(num_written_)) {
      output_.empty() ? write_stdout(next->second) : void(lines_ += next->second);
      waiting_.erase(next);
      ++num_written_;
    }
  }
  int64_t num_ended() const { return num_ended_; }

  void finish() const {
    if (output_.empty()) return;
    write_output_file(output_, lines_);
    log_info("wrote ", output_);
  }

  // What was answered before a stop is the work of hours; under the name of the output it would look like all of it.
  void keep(int signal, size_t num_all) {
    const std::string ended = detail::concat("stopped by signal ", signal, " after ", num_ended_, " of ",
                                             counted(static_cast<int64_t>(num_all), "answer"));
    if (output_.empty()) return log_info(ended, ", ", num_written_, " of them on standard output");
    if (num_ended_ == 0) return log_info(ended, "; nothing was written");
    for (const auto& [sequence, line] : waiting_) lines_ += line;
    write_output_file(output_ + ".part", lines_);
    log_info(ended, ", which are in ", output_, ".part; to go on, give the prompts whose numbers are not in it");
  }

 private:
  std::string output_;  // empty: stdout
  std::string lines_;
  std::map<size_t, std::string> waiting_;  // lines of answers that ended before one in front of them
  size_t num_written_ = 0;
  int64_t num_ended_ = 0;
};

int answer_all(Run& run, const std::vector<generate::Ids>& prompts) {
  std::vector<Sequence> sequences;
  std::vector<generate::Ids> ids;
  std::vector<generate::AnswerText> texts;
  for (size_t i = 0; i < prompts.size(); ++i) {
    for (int64_t sample = 0; sample < run.o.num_return; ++sample) {
      sequences.push_back({i, sample});
      ids.push_back(prompts[i]);
      texts.push_back(run.new_text());
    }
  }
  AnswerLines lines(run.o.output);
  Progress progress("answers", static_cast<int64_t>(sequences.size()));
  const auto on_token = [&](size_t i, int64_t id) {
    texts[i].push(id);
    return !texts[i].found_stop();
  };
  const auto on_end = [&](size_t i, const generate::Answer& answer) {
    texts[i].finish();
    lines.add(i, answer_line(run, sequences[i], ids[i].size(), answer, texts[i]));
    progress.update(lines.num_ended());
  };
  run.options.batch_size = run.o.batch_size.value;
  run.generator.generate(ids, run.options, on_token, on_end);
  if (stop_requested() != 0) {
    lines.keep(stop_requested(), sequences.size());
    return exit_code();
  }
  progress.finish();
  lines.finish();
  log_speed(run.generator.speed());
  return 0;
}

ReadPlaces read_places(const GenerateCommandOptions& o) {
  ReadPlaces places = o.answering.read_places();
  places.push_back({o.prompt_file.value, "--prompt_file"});
  places.push_back({o.batch_file.value, "--batch_file"});
  return places;
}

int run_generate(GenerateCommandOptions& o) {
  check_options(o);
  check_output_file(o.output, read_places(o));
  o.overwrite.check({o.output});
  const std::vector<generate::Prompt> prompts = read_prompts(o);
  std::optional<text::ChatTemplate> chat, chat_for_tools;
  if (o.chat) chat = text::load_chat_template(o.answering.tokenizer_folder());
  const bool has_tools = std::any_of(prompts.begin(), prompts.end(), [](const auto& p) { return p.has_tools(); });
  if (o.chat && has_tools) chat_for_tools = text::load_chat_template(o.answering.tokenizer_folder(), true);
  const StopSignals signals;
  const AnsweringModel model = o.answering.load();
  const generate::PromptEncoder encoder(model.tokenizer, chat, o.system, style_of(o), chat_for_tools);
  const int64_t room = room_for_prompts(o, model);
  std::vector<generate::Ids> ids;
  for (const generate::Prompt& prompt : prompts) {
    ids.push_back(generate::fit_prompt(encoder.encode(prompt), room,
                                       parse_enum<generate::Truncation>(o.truncate, "--truncate"), prompt.subject,
                                       encoder.num_kept_first()));
  }
  Run run{o, model.tokenizer, generate::Generator(*model.loaded.model), generation_of(o, model)};
  return o.is_batch() ? answer_all(run, ids) : stream_answer(run, ids.front());
}

void bind_prompts(CLI::App& app, GenerateCommandOptions& o) {
  o.prompt.declare(app.add_option(
      "prompt,--prompt", o.prompt.value,
      "The prompt; may also stand alone, before the options. Without any of the three, standard input is the prompt"));
  add_option(app, "prompt_file", o.prompt_file, "File whose text is the prompt, without its last line end");
  add_option(app, "material", o.material, "File whose text is the prompt, with a line end and --question behind it");
  add_option(app, "question", o.question, "What is asked about --material");
  add_option(
      app, "batch_file", o.batch_file,
      "JSON lines with \"prompt\", or with \"messages\" for --chat, and \"tools\" where the template takes such; "
      "the answers are JSON lines");
  add_option(app, "output", o.output, "File for the JSON lines of answers; empty: stdout");
  o.overwrite.bind(app);
  add_bool(app, "chat", o.chat, "Through the model's chat template: the prompt is what the user says");
  with_choices_of<data::PromptStyle>(add_option(
      app, "prompt_style", o.prompt_style,
      "The prompt is an instruction in the style of hici sft: llama2, llama2_chat, alpaca or vicuna; empty: as it "
      "stands"));
  add_option(app, "system", o.system, "System message in front, with --chat");
  with_choices_of<generate::Truncation>(
      add_option(app, "truncate", o.truncate,
                 "A prompt longer than the context without --max_new_tokens: error, or drop its middle or left"));
}

void bind_answers(CLI::App& app, GenerateCommandOptions& o) {
  auto& sampling = o.generation().sampling;
  add_tokens(app, "max_new_tokens,--max_gen_len", o.generation().max_new_tokens, "Tokens of an answer at the most");
  add_tokens(app, "min_new_tokens", o.min_new_tokens,
             "Tokens before which no end-of-text or --stop_token can be chosen; --stop ends the text at any time");
  add_option(app, "temperature", o.temperature, "0 (always the most probable token) to 100", {0, 100});
  add_option(app, "top_k", sampling.top_k, "Draw among the K most probable tokens; 0: all", kFromZero);
  add_option(app, "top_p", sampling.top_p, "Draw among the most probable tokens that have this probability together",
             {0, 1});
  add_option(
      app, "repetition_penalty", o.repetition_penalty,
      "Above 1: tokens seen before become less probable; 0.01 to 100; default: what generation_config.json says, "
      "else 1",
      {0.01, 100});
  add_option(app, "seed", o.seed, "The same seed gives the same answers, in any --batch_size", kSeeds);
  add_option(app, "stop", o.stop, "Text that ends the answer and is not part of it; may be given several times")
      ->allow_extra_args(false);
  add_option(app, "stop_token", o.stop_token, "The same by a token's name, such as <|eot_id|>")
      ->allow_extra_args(false);
  add_bool(app, "ignore_eos", o.ignore_eos, "Do not end at the end-of-text tokens of generation_config.json");
  add_bool(app, "skip_special_tokens", o.skip_special_tokens, "Leave special tokens out of the text");
  add_bool(app, "return_ids", o.return_ids, "Token ids in the JSON lines too");
  add_option(app, "num_return", o.num_return, "Answers to each prompt, as JSON lines where there are several", kBatch);
  add_option(app, "batch_size", o.batch_size, "Answers that are worked on together", kBatch);
}

}  // namespace

CommandEntry generate_command() {
  return {"generate", "Write text behind a prompt, or answer a file of prompts", [](CLI::App& app) -> Runner {
            auto o = std::make_shared<GenerateCommandOptions>();
            bind_prompts(app, *o);
            bind_answers(app, *o);
            o->answering.bind(app);
            add_inherited_value(app, "cache_dir", "nothing is downloaded");
            add_inherited(app, "flash_attn", "the fastest exact attention of the device is taken by itself");
            return [o] { return run_generate(*o); };
          }};
}

}  // namespace hici::commands
