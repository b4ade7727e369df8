// SPDX-License-Identifier: Apache-2.0
// `hici eval ppl`: perplexity over sliding windows, of a base model or of base and adapter.
#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/process_rank.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"
#include "hici/base/version.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/base_format_options.h"
#include "hici/commands/options/data_options.h"
#include "hici/commands/options/dual_chunk_options.h"
#include "hici/commands/options/foreign_options.h"
#include "hici/commands/options/model_options.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/output_options.h"
#include "hici/commands/options/rolling_options.h"
#include "hici/commands/options/sharing_options.h"
#include "hici/config/bounds.h"
#include "hici/config/divides.h"
#include "hici/data/tokenize_corpus.h"
#include "hici/eval/perplexity.h"
#include "hici/io/load_model.h"
#include "hici/io/model_facts.h"
#include "hici/ops/types.h"
#include "hici/parallel/world.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <iomanip>
#include <memory>
#include <optional>
#include <sstream>
#include <utility>

namespace hici::commands {
namespace {

struct EvalPplOptions {
  std::string base_model;
  std::string peft_model;
  std::string data_path;
  std::string token_type;
  std::string text_field = "text";
  std::string split = "train";
  std::string output;
  std::string label;
  std::string eval_mode = "full";
  int64_t seq_len = 2048;
  int64_t context_size = 0;  // 0: the adapter's, else what the base covers
  int64_t batch_size = 1;
  Option<int64_t> sliding_window{256};
  Option<int64_t> limit_tokens{0};
  Option<bool> stream_segments{false};
  BaseFormatOptions base_format;
  Option<int64_t> segment_parallel{1};
  RollingOptions rolling;
  CLI::App* app = nullptr;  // the command, for the text of its options
  DualChunkOptions dual_chunk;
  SharingOptions sharing;
  HiciOptions hici;
  DeviceOptions device;
};

// One of the modes of --eval_mode: which attention, and into how many segments.
struct EvalMode {
  nn::AttentionKind attention;
  bool one_segment = false;
};

EvalMode parse_eval_mode(const std::string& name) {
  if (name == "full_hierarchical") return {nn::AttentionKind::kHici, /*one_segment=*/true};
  return {nn::attention_kind_from_name(name, "--eval_mode",
                                       {.names = {"full", "hici", "chunked", "None", "s2", "dca"},
                                        .what = "mode",
                                        .way_out = "use full, hici (the same as chunked and None: as in training), "
                                                   "full_hierarchical (one segment), s2 or dca"})};
}

void bind_eval_mode(CLI::App& app, std::string& eval_mode) {
  CLI::Option* option =
      add_option(app, "eval_mode", eval_mode,
                 "full; hici, chunked or None: as in training; full_hierarchical: HiCI with one segment; s2; dca: "
                 "Dual Chunk Attention, which takes a base beyond its context without training");
  with_choices(option, {"full", "hici", "chunked", "None", "full_hierarchical", "s2", "dca"});
}

void check_options(const EvalPplOptions& o) {
  o.rolling.check({&o.sliding_window, &o.limit_tokens, &o.stream_segments, &o.segment_parallel});
  config::check_tokens_at_once("--batch_size", o.batch_size, "--seq_len", o.seq_len);
  if (o.segment_parallel.value == 1) {
    o.sharing.check(o.output);
  } else {
    o.sharing.check_resume(o.output);
  }
}

void check_dual_chunk(const EvalPplOptions& o, const EvalMode& mode) {
  const bool is_used = mode.attention == nn::AttentionKind::kDca;
  o.dual_chunk.check(is_used, "--eval_mode dca", o.device.resolve_attention_backend());
  HICI_CHECK_USAGE(!is_used || o.context_size == 0 || !o.peft_model.empty(), "--context_size: ", o.context_size,
                   " would stretch the RoPE of the base, which --eval_mode dca makes needless; leave it out");
}

nn::ForwardOptions make_forward(const EvalPplOptions& o, const EvalMode& mode, const io::LoadedModel& loaded) {
  nn::ForwardOptions forward;
  forward.attention = nn::attention_in_force(mode.attention, loaded.has_hierarchy);
  forward.backend = o.device.resolve_attention_backend();
  const bool has_slots = forward.attention == nn::AttentionKind::kHici;
  loaded.model->check_attention_backend(forward.backend, "--attention_backend",
                                        has_slots ? loaded.hici.slots_per_segment() : 0);
  if (mode.attention == nn::AttentionKind::kFull) return forward;
  if (mode.attention == nn::AttentionKind::kDca) {
    forward.dual_chunk = o.dual_chunk.rule(o.seq_len).resolve(loaded.model->config());
    return forward;
  }
  const int64_t segments = mode.one_segment ? 1 : loaded.hici.num_segments;
  config::check_divides("--num_chunks", segments, "--seq_len", o.seq_len);
  forward.segment_length = o.seq_len / segments;
  return forward;
}

// All that repeats the result, but for the data and how windows are cut from them.
nlohmann::json settings_json(const EvalPplOptions& o, const io::LoadedModel& loaded,
                             const nn::ForwardOptions& forward) {
  const auto& rope = loaded.model->config().rope;
  return {{"command", "eval ppl"},
          {"label", result_label(o.label, o.base_model, o.peft_model)},
          {"base_model", o.base_model},
          {"peft_model", o.peft_model},
          {"data_path", o.data_path},
          {"attention", nn::attention_kind_name(forward.attention)},
          {"attention_backend", name_of(forward.backend)},
          {"eval_mode", o.eval_mode},
          {"seq_len", o.seq_len},
          {"context_size", loaded.context_size},
          {"num_segments", forward.segment_length > 0 ? o.seq_len / forward.segment_length : 0},
          {"causal_mode", name_of(loaded.hici.causal_mode)},
          {"has_hierarchy", loaded.has_hierarchy},
          {"stream_segments", o.stream_segments.value},
          {"batch_size", o.batch_size},
          {"dtype", ops::dtype_name(loaded.dtype)},
          {"device", loaded.device.str()},
          {"rope_type", name_of(rope.type)},
          {"rope_theta", rope.theta},
          {"rope_factor", rope.context_factor},
          {"weights_hash", loaded.weights_hash},
          {"config_hash", loaded.config_hash},
          {"library_version", kVersion}};
}

nlohmann::json window_settings(const EvalPplOptions& o, const data::TokenFile& tokens) {
  return {{"sliding_window", o.sliding_window.value},
          {"limit_tokens", o.limit_tokens.value},
          {"data_sha256", tokens.sha256()}};
}

nlohmann::json dual_chunk_json(const EvalPplOptions& o, const config::ModelConfig& model,
                               const config::DualChunk& sizes) {
  return {{"pretraining_length", o.dual_chunk.rule(o.seq_len).pretraining_length_of(model)},
          {"local_window", sizes.chunk_size - sizes.chunk_len},
          {"chunk_size", sizes.chunk_size},
          {"chunk_len", sizes.chunk_len},
          {"magnitude", sizes.magnitude}};
}

nlohmann::json result_json(const nlohmann::json& settings, const std::optional<data::Documents>& documents,
                           const std::optional<double>& base_difference, const eval::PerplexityResult& result) {
  nlohmann::json row = {{"perplexity", result.perplexity},
                        {"accuracy", result.accuracy},
                        {"loss", result.loss},
                        {"windows", result.windows},
                        {"predicted_tokens", result.predicted_tokens},
                        {"tokens_per_second", result.tokens_per_second},
                        {"seconds", result.seconds}};
  if (documents) row.update(rolling_result(*documents, result));
  if (base_difference) row["base_loss_difference"] = *base_difference;
  row.update(settings);
  return row;
}

std::string result_text(const nlohmann::json& row) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(4) << "perplexity " << row["perplexity"].get<double>() << "  "
      << rolling_text(row) << "accuracy " << row["accuracy"].get<double>() << "  loss " << row["loss"].get<double>()
      << std::setprecision(0) << "  (" << row["attention"].get<std::string>() << " attention, "
      << counted(row["seq_len"], "token") << ", " << counted(row["windows"], "window") << ", "
      << counted(row["predicted_tokens"], "predicted token") << ", " << row["tokens_per_second"].get<double>()
      << " tokens/s)\n";
  if (const auto found = row.find("base_loss_difference"); found != row.end())
    out << std::showpos << std::setprecision(4) << "base_format " << row["base_format"].get<std::string>() << ": loss "
        << found->get<double>() << " over the first window, against " << row["dtype"].get<std::string>() << '\n';
  return out.str();
}

io::LoadedModel load(const EvalPplOptions& o, const EvalMode& mode) {
  const bool uses_hierarchy = mode.attention == nn::AttentionKind::kHici;
  const io::ModelRequest request = model_request(o.base_model, o.peft_model, o.context_size, o.device, uses_hierarchy);
  const io::OpenedModel opened = io::open_model(request);
  const config::HiciConfig hici = o.hici.resolve(opened, uses_hierarchy);
  if (o.stream_segments.value) hici.check_streamable();
  io::LoadedModel loaded = io::build_model(request, opened, hici);
  if (mode.attention == nn::AttentionKind::kHici && !loaded.has_hierarchy) {
    log_info("--eval_mode ", o.eval_mode,
             ": neither base nor adapter has HiCI modules; this is plain attention inside segments");
  }
  return loaded;
}

// Each of --stream_segments and --segment_parallel cuts a window at its segments.
void check_stays_in_segments(const EvalPplOptions& o, const EvalMode& mode, const char* option) {
  HICI_CHECK_USAGE(mode.attention == nn::AttentionKind::kHici, option, ": has no form with --eval_mode ", o.eval_mode,
                   ", where tokens see beyond their segment; use --eval_mode hici");
}

void check_segments(const EvalPplOptions& o, const EvalMode& mode) {
  if (o.stream_segments.value) check_stays_in_segments(o, mode, "--stream_segments");
  if (o.segment_parallel.value == 1) return;
  check_stays_in_segments(o, mode, "--segment_parallel");
  HICI_CHECK_USAGE(!mode.one_segment, "--segment_parallel: has no form with --eval_mode ", o.eval_mode,
                   ", where a window is one segment; use --eval_mode hici");
}

// What is evaluated, in one process.
struct Evaluation {
  io::LoadedModel loaded;
  std::optional<data::TokenFile> tokens;     // one of both
  std::optional<data::Documents> documents;  // with --rolling
  eval::PerplexityOptions options;
  nlohmann::json settings;
  std::optional<double> base_difference;  // of the first window's loss, with --base_format
};

double loss_of_first_window(const EvalPplOptions& o, const Evaluation& e) {
  eval::PerplexityOptions first = e.options;
  first.limit_tokens = o.seq_len + 1;
  first.batch_size = 1;
  return eval::evaluate_perplexity(*e.loaded.model, *e.tokens, first).loss;
}

// Puts the matrices in --base_format, with the loss of the first window before and after it where windows are of one
// length.
void quantise(const EvalPplOptions& o, Evaluation& e) {
  const bool is_compared = e.tokens && o.segment_parallel.value == 1;
  const double before = is_compared ? loss_of_first_window(o, e) : 0;
  e.loaded.model->quantise_frozen(o.base_format.resolve(), /*has_backward=*/false);
  if (is_compared) e.base_difference = loss_of_first_window(o, e) - before;
}

// The data, in one of both forms.
void open_data(const EvalPplOptions& o, const std::optional<data::TokenTypeChoice>& type, Evaluation& e) {
  const data::ModelData data{.path = o.data_path,
                             .model = o.base_model,
                             .vocab_size = e.loaded.model->config().vocab_size,
                             .text_field = o.text_field,
                             .split = o.split};
  if (o.rolling.is_on()) {
    e.documents = o.rolling.open(data, type);
  } else {
    e.tokens = data::open_tokens(data, type);
  }
  const auto& info = e.documents ? e.documents->tokens.info() : e.tokens->info();
  if (info) io::warn_of_foreign_tokens(o.data_path, info->tokenizer_sha256, o.base_model, e.loaded);
}

// The longest window; 0 where the data are too short for one, which is an error to come.
int64_t longest_window(const EvalPplOptions& o, const Evaluation& e) {
  if (e.documents) return std::min(o.seq_len, e.documents->longest());
  return e.tokens->size() > o.seq_len ? o.seq_len : 0;
}

Evaluation open_evaluation(const EvalPplOptions& o, const EvalMode& mode,
                           const std::optional<data::TokenTypeChoice>& type) {
  Evaluation e{
      .loaded = load(o, mode), .tokens = {}, .documents = {}, .options = {}, .settings = {}, .base_difference = {}};
  const nn::ForwardOptions forward = make_forward(o, mode, e.loaded);
  open_data(o, type, e);
  if (longest_window(o, e) > 0 && mode.attention != nn::AttentionKind::kDca)
    warn_if_beyond_reach("--seq_len", longest_window(o, e), e.loaded);
  e.settings = settings_json(o, e.loaded, forward);
  e.settings.update(e.documents ? rolling_settings(*e.documents) : window_settings(o, *e.tokens));
  add_differences(e.settings, e.loaded);
  if (forward.dual_chunk) e.settings["dual_chunk"] = dual_chunk_json(o, e.loaded.model->config(), forward.dual_chunk);
  e.options = {.seq_len = o.seq_len,
               .stride = o.sliding_window.value,
               .batch_size = o.batch_size,
               .limit_tokens = o.limit_tokens.value,
               .forward = forward,
               .stream_segments = o.stream_segments.value};
  o.base_format.record(e.settings);
  if (o.base_format.resolve() != config::BaseFormat::kModel) quantise(o, e);
  return e;
}

using WriteResult = std::function<void(const eval::PerplexityResult&)>;

WriteResult writer_of(const EvalPplOptions& o, const Evaluation& e) {
  return [&](const eval::PerplexityResult& result) {
    const nlohmann::json row = result_json(e.settings, e.documents, e.base_difference, result);
    show_and_write(result_text(row), [&] { write_result(o.output, [&] { return row.dump(1) + "\n"; }); });
  };
}

eval::SharedWork shared_work(const EvalPplOptions& o, const nlohmann::json& settings, const ProcessRank& process) {
  return o.sharing.work(o.output, settings, {"command", "label", "attention", "seq_len", "perplexity"}, process);
}

int64_t num_windows(const Evaluation& e) {
  if (e.documents) return eval::RollingWindows(*e.documents, e.options.rolling()).num_windows();
  return eval::TokenWindows(*e.tokens, e.options.windows()).num_windows();
}

// One process, or several of which each takes other batches of windows.
int evaluate_alone(const EvalPplOptions& o, const Evaluation& e) {
  const WriteResult write = writer_of(o, e);
  const nn::CausalLm& model = *e.loaded.model;
  if (!o.output.empty()) {
    const eval::SharedWork work = shared_work(o, e.settings, process_rank());
    e.documents ? eval::share_rolling(model, *e.documents, e.options, work, write)
                : eval::share_perplexity(model, *e.tokens, e.options, work, write);
    return 0;
  }
  Progress progress("windows", num_windows(e));
  const auto on_progress = [&](int64_t done, int64_t, double) { progress.update(done); };
  const auto result = e.documents ? eval::evaluate_rolling(model, *e.documents, e.options, on_progress)
                                  : eval::evaluate_perplexity(model, *e.tokens, e.options, on_progress);
  progress.finish();
  write(result);
  return 0;
}

// Several processes that share each window by whole segments.
int evaluate_together(const EvalPplOptions& o, Evaluation e, const parallel::World& world) {
  const int64_t segments = o.seq_len / e.options.forward.segment_length;
  parallel::check_enough_segments(o.segment_parallel.value, segments, "--segment_parallel");
  parallel::check_same(world, io::facts_of_run({{"the content of the data", e.tokens->sha256()},
                                                {"the hash of the weights", e.loaded.weights_hash},
                                                {"the hash of the model's settings", e.loaded.config_hash}},
                                               e.loaded.identity));
  e.options.forward.share = {&world.segments(), segments};
  e.settings["segment_parallel"] = o.segment_parallel.value;
  e.settings["processes"] = world.size();
  const int signal = eval::share_windows(*e.loaded.model, *e.tokens, e.options, world,
                                         shared_work(o, e.settings, ProcessRank{}), writer_of(o, e));
  return signal == 0 ? 0 : 128 + signal;
}

int run_eval_ppl(const EvalPplOptions& o) {
  check_options(o);
  const EvalMode mode = parse_eval_mode(o.eval_mode);
  check_dual_chunk(o, mode);
  if (mode.attention != nn::AttentionKind::kHici) o.hici.note_without_effect("--eval_mode " + o.eval_mode);
  check_segments(o, mode);
  std::optional<data::TokenTypeChoice> type;
  if (!o.token_type.empty()) type = data::parse_token_type(o.token_type, "--token_type");
  const auto check_place = [&] {
    check_output_file(o.output, read_places_of_windows(o.base_model, o.peft_model, o.data_path));
  };
  const StopSignals signals;
  if (o.segment_parallel.value == 1) {
    check_place();
    return evaluate_alone(o, open_evaluation(o, mode, type));
  }
  const auto work = [&](const parallel::World& world) {
    parallel::on_leader(world, check_place);
    return evaluate_together(o, open_evaluation(o, mode, type), world);
  };
  return parallel::in_world(o.segment_parallel.value, o.device.resolve_device(), effective_options(*o.app), work);
}

}  // namespace

CommandEntry eval_ppl_command() {
  return {"eval ppl", "Perplexity and next-token accuracy over sliding windows of a token file",
          [](CLI::App& app) -> Runner {
            auto o = std::make_shared<EvalPplOptions>();
            o->app = &app;
            add_option(app, "base_model,--model_path", o->base_model,
                       "Directory of the base model (config.json and weights)")
                ->required();
            add_option(app, "peft_model", o->peft_model, "Directory of an adapter or checkpoint");
            add_option(app, "data_path", o->data_path, kWindowsData)->required();
            bind_token_type(app, o->token_type);
            bind_text_columns(app, o->text_field, o->split);
            add_tokens(app, "seq_len", o->seq_len, "Tokens of a window", {2, config::kMaxSequenceTokens});
            add_tokens(app, "context_size", o->context_size,
                       "Context that decides the RoPE factor; 0: the adapter's, else the base as it is");
            add_option(app, "batch_size", o->batch_size, "Windows in one forward", kBatch);
            add_tokens(app, "sliding_window", o->sliding_window,
                       "Tokens between the starts of two windows; one that would end with the data is left out",
                       kTokensFromOne);
            o->rolling.bind(app);
            bind_eval_mode(app, o->eval_mode);
            add_bool(app, "stream_segments", o->stream_segments,
                     "Work on one segment at a time, with the memory of one; for every causal mode but none");
            o->base_format.bind(app);
            add_option(app, "segment_parallel", o->segment_parallel,
                       "Processes that share each window, by whole segments; started by torchrun, srun or mpirun",
                       kFromOne);
            add_tokens(app, "limit_tokens", o->limit_tokens, "Use the first N tokens only; 0: all", kFromZero);
            add_option(app, "output", o->output, "Write the result and all that repeats it as JSON");
            add_option(app, "label", o->label, "Name of this row in reports");
            add_inherited(app, "cache_dir", "nothing is downloaded");
            add_inherited(app, "flash_attn", "the fastest exact attention of the device is taken by itself");
            add_inherited(app, "use_local_constructor_flash",
                          "local construction never makes the scores' keys and values");
            add_inherited(app, "use_flash_plus", "the fastest exact attention of the device is taken by itself");
            add_inherited(app, "recurrence_size", "the research code reads it and uses it nowhere");
            add_inherited(app, "progress_bar_fresh_rate", "the progress line paces itself");
            add_refused(app, "no_chunk", "attention is what --eval_mode says", "use --eval_mode full");
            o->dual_chunk.bind(app);
            o->sharing.bind(app);
            o->hici.bind(app);
            o->device.bind(app);
            return [o] { return run_eval_ppl(*o); };
          }};
}

}  // namespace hici::commands
