// SPDX-License-Identifier: Apache-2.0
// `hici eval attention`: which share of attention goes to global slots, local slots and tokens, by layer and head.
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"
#include "hici/base/text_table.h"
#include "hici/base/version.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/data_options.h"
#include "hici/commands/options/model_options.h"
#include "hici/commands/options/output_options.h"
#include "hici/commands/options/sharing_options.h"
#include "hici/config/bounds.h"
#include "hici/config/divides.h"
#include "hici/data/tokenize_corpus.h"
#include "hici/eval/attention_profile.h"
#include "hici/io/load_model.h"
#include "hici/ops/types.h"
#include "hici/report/attention_figures.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>

namespace hici::commands {
namespace {

constexpr int kShareDecimals = 4;

struct EvalAttentionOptions {
  std::string base_model;
  std::string peft_model;
  std::string data_path;
  std::string token_type;
  std::string text_field = "text";
  std::string split = "train";
  std::string output;
  std::string figures;
  std::string label;
  int64_t seq_len = 2048;
  int64_t context_size = 0;  // 0: the adapter's, else what the base covers
  int64_t batch_size = 1;
  int64_t sliding_window = 0;  // 0: seq_len, windows that do not overlap
  int64_t limit_tokens = 0;
  int64_t map_layer = -1;    // -1: the middle one
  int64_t map_head = -1;     // -1: the mean over all
  int64_t map_segment = -1;  // -1: the last one
  int64_t map_window = 0;
  SharingOptions sharing;
  HiciOptions hici;
  DeviceOptions device;
};

void check_options(const EvalAttentionOptions& o) {
  config::check_tokens_at_once("--batch_size", o.batch_size, "--seq_len", o.seq_len);
  HICI_CHECK_USAGE(o.hici.use_hierarchical_forward.value,
                   "--use_hierarchical_forward: False leaves no slots to look at; leave the option out");
  o.sharing.check(o.output);
}

// An option that chooses one of `count` things: `absent` when it is -1.
int64_t chosen(const char* option, int64_t value, int64_t count, int64_t absent) {
  HICI_CHECK_USAGE(value >= -1 && value < count, option, ": ", value, " is out of range; use 0 to ", count - 1,
                   ", or leave it out");
  return value < 0 ? absent : value;
}

eval::AttentionProfileOptions profile_options(const EvalAttentionOptions& o, const io::LoadedModel& loaded,
                                              const data::TokenFile& tokens) {
  eval::AttentionProfileOptions options;
  options.windows = {o.seq_len, o.sliding_window > 0 ? o.sliding_window : o.seq_len, o.batch_size, o.limit_tokens};
  const int64_t segments = loaded.hici.num_segments;
  config::check_divides("--num_chunks", segments, "--seq_len", o.seq_len);
  options.forward.attention = nn::AttentionKind::kHici;
  options.forward.segment_length = o.seq_len / segments;
  options.forward.backend = o.device.resolve_attention_backend();
  loaded.model->check_attention_backend(options.forward.backend, "--attention_backend",
                                        loaded.hici.slots_per_segment());
  const config::ModelConfig& config = loaded.model->config();
  eval::MapPlace place;
  place.layer = chosen("--map_layer", o.map_layer, config.num_hidden_layers, config.num_hidden_layers / 2);
  place.segment = chosen("--map_segment", o.map_segment, segments, segments - 1);
  if (chosen("--map_head", o.map_head, config.num_attention_heads, -1) >= 0) place.head = o.map_head;
  options.map_window =
      chosen("--map_window", o.map_window, eval::TokenWindows(tokens, options.windows).num_windows(), 0);
  options.place = place;
  return options;
}

// All that repeats the result.
nlohmann::json settings_json(const EvalAttentionOptions& o, const io::LoadedModel& loaded,
                             const data::TokenFile& tokens, const eval::AttentionProfileOptions& options) {
  const auto& rope = loaded.model->config().rope;
  return {{"command", "eval attention"},
          {"label", result_label(o.label, o.base_model, o.peft_model)},
          {"base_model", o.base_model},
          {"peft_model", o.peft_model},
          {"data_path", o.data_path},
          {"seq_len", o.seq_len},
          {"context_size", loaded.context_size},
          {"num_segments", loaded.hici.num_segments},
          {"causal_mode", name_of(loaded.hici.causal_mode)},
          {"sliding_window", options.windows.stride},
          {"batch_size", o.batch_size},
          {"limit_tokens", o.limit_tokens},
          {"attention_backend", name_of(options.forward.backend)},
          {"dtype", ops::dtype_name(loaded.dtype)},
          {"device", loaded.device.str()},
          {"rope_type", name_of(rope.type)},
          {"rope_theta", rope.theta},
          {"rope_factor", rope.context_factor},
          {"layers", loaded.model->config().num_hidden_layers},
          {"heads", loaded.model->config().num_attention_heads},
          {"map_place",
           {{"layer", options.place->layer},
            {"head", options.place->head ? nlohmann::json(*options.place->head) : nlohmann::json()},
            {"segment", options.place->segment},
            {"window", options.map_window}}},
          {"data_sha256", tokens.sha256()},
          {"weights_hash", loaded.weights_hash},
          {"config_hash", loaded.config_hash},
          {"library_version", kVersion}};
}

nlohmann::json result_json(const nlohmann::json& settings, const eval::AttentionProfile& profile) {
  nlohmann::json json = settings;
  json["windows"] = profile.windows;
  json["tokens"] = profile.queries;
  json["seconds"] = profile.seconds;
  json["global"] = profile.global;
  json["local"] = profile.local;
  json["token"] = profile.token;
  json["map"] = eval::to_json(*profile.map);
  json["map"].update(json["map_place"]);
  return json;
}

// Means over the heads of each layer, and over all.
std::string result_text(const eval::AttentionProfile& profile) {
  const std::vector<std::vector<double>> columns = {eval::means_of_layers(profile.global),
                                                    eval::means_of_layers(profile.local),
                                                    eval::means_of_layers(profile.token)};
  const size_t layers = columns[0].size();
  std::vector<std::vector<std::string>> cells = {{"layer", "global slots", "local slots", "own tokens"}};
  for (size_t l = 0; l < layers; ++l) {
    cells.push_back({std::to_string(l)});
    for (const auto& column : columns) cells.back().push_back(fixed_digits(column[l], kShareDecimals));
  }
  cells.push_back({"all"});
  for (const auto& column : columns) {
    const double sum = std::accumulate(column.begin(), column.end(), 0.0);
    cells.back().push_back(fixed_digits(sum / static_cast<double>(layers), kShareDecimals));
  }
  return aligned_text(cells, 1);
}

void write_figures(const std::filesystem::path& folder, const eval::AttentionProfile& profile) {
  for (const report::Figure& figure : report::attention_figures(profile)) {
    write_output_file(folder / figure.file_name, figure.svg);
    log_info("wrote ", (folder / figure.file_name).string());
  }
}

// Figures that are there already will be replaced.
void check_places(const EvalAttentionOptions& o) {
  const ReadPlaces inputs = read_places_of_windows(o.base_model, o.peft_model, o.data_path);
  check_output_file(o.output, inputs);
  check_output_folder(o.figures);
  std::error_code problem;
  for (std::filesystem::directory_iterator at(o.figures, problem), end; !problem && at != end; at.increment(problem)) {
    if (at->path().extension() == ".svg") check_output_file(at->path(), inputs);
  }
}

int run_eval_attention(const EvalAttentionOptions& o) {
  check_options(o);
  std::optional<data::TokenTypeChoice> type;
  if (!o.token_type.empty()) type = data::parse_token_type(o.token_type, "--token_type");
  check_places(o);
  const StopSignals signals;
  const io::LoadedModel loaded =
      load_model(model_request(o.base_model, o.peft_model, o.context_size, o.device, true), o.hici);
  HICI_CHECK(loaded.has_hierarchy, o.peft_model.empty() ? o.base_model : o.peft_model,
             ": has no HiCI modules, so that there are no slots to look at; give --peft_model with an adapter of hici "
             "train, or a model that was merged --with_hici True");
  const data::TokenFile tokens = data::open_tokens({.path = o.data_path,
                                                    .model = o.base_model,
                                                    .vocab_size = loaded.model->config().vocab_size,
                                                    .text_field = o.text_field,
                                                    .split = o.split},
                                                   type);
  if (tokens.info()) io::warn_of_foreign_tokens(o.data_path, tokens.info()->tokenizer_sha256, o.base_model, loaded);
  const eval::AttentionProfileOptions options = profile_options(o, loaded, tokens);
  warn_if_beyond_reach("--seq_len", o.seq_len, loaded);
  nlohmann::json settings = settings_json(o, loaded, tokens, options);
  add_differences(settings, loaded);
  auto write = [&](const eval::AttentionProfile& profile) {
    show_and_write(result_text(profile), [&] {
      if (!o.figures.empty()) write_figures(o.figures, profile);
      write_result(o.output, [&] { return result_json(settings, profile).dump(1) + "\n"; });
    });
  };
  if (!o.output.empty()) {
    const eval::SharedWork work =
        o.sharing.work(o.output, settings, {"command", "label", "layers", "heads", "global", "local", "token"});
    eval::share_attention_profile(*loaded.model, tokens, options, work, write);
    return 0;
  }
  Progress progress("windows", eval::TokenWindows(tokens, options.windows).num_windows());
  const eval::AttentionProfile profile =
      eval::profile_attention(*loaded.model, tokens, options, [&](int64_t done, int64_t) { progress.update(done); });
  progress.finish();
  write(profile);
  return 0;
}

void bind_options(CLI::App& app, EvalAttentionOptions& o) {
  add_option(app, "base_model", o.base_model, "Directory of the base or merged model (config.json and weights)")
      ->required();
  add_option(app, "peft_model", o.peft_model, "Directory of an adapter or checkpoint");
  add_option(app, "data_path", o.data_path, kWindowsData)->required();
  bind_token_type(app, o.token_type);
  bind_text_columns(app, o.text_field, o.split);
  add_tokens(app, "seq_len", o.seq_len, "Tokens of a window", kTokensFromOne);
  add_tokens(app, "context_size", o.context_size,
             "Context that decides the RoPE factor; 0: the adapter's, else the base as it is");
  add_option(app, "batch_size", o.batch_size, "Windows in one forward", kBatch);
  add_tokens(app, "sliding_window", o.sliding_window, "Tokens between the starts of two windows; 0: --seq_len");
  add_tokens(app, "limit_tokens", o.limit_tokens, "Use the first N tokens only; 0: all", kFromZero);
  add_option(app, "output", o.output, "Write the shares, the map and all that repeats them as JSON");
  add_option(app, "figures", o.figures,
             "Folder for the figures (SVG): layers, shallow against deep layers, heat map of layers and heads, map");
  add_option(app, "label", o.label, "Name of this result in reports");
  add_option(app, "map_layer", o.map_layer, "Layer of the map, from 0; -1: the middle one", {-1, config::kMaxCount});
  add_option(app, "map_head", o.map_head, "Head of the map, from 0; -1: the mean over all", {-1, config::kMaxCount});
  add_option(app, "map_segment", o.map_segment, "Segment of the map, from 0; -1: the last one",
             {-1, config::kMaxCount});
  add_option(app, "map_window", o.map_window, "Window of the map, from 0", {-1, config::kMaxCount});
  o.sharing.bind(app);
  o.hici.bind(app);
  o.device.bind(app);
}

}  // namespace

CommandEntry eval_attention_command() {
  return {"eval attention", "Shares of attention that go to global slots, local slots and tokens, by layer and head",
          [](CLI::App& app) -> Runner {
            auto o = std::make_shared<EvalAttentionOptions>();
            bind_options(app, *o);
            return [o] { return run_eval_attention(*o); };
          }};
}

}  // namespace hici::commands
