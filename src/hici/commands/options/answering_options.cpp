// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/answering_options.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/log.h"
#include "hici/base/version.h"
#include "hici/commands/command.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/output_options.h"
#include "hici/config/rope.h"
#include "hici/io/checkpoint/folder_check.h"
#include "hici/io/generation_config.h"
#include "hici/ops/types.h"

namespace hici::commands {
namespace {

constexpr int64_t kUnboundedContext = int64_t{1} << 40;

}  // namespace

int64_t AnsweringModel::context() const {
  if (unstretched_context > 0) return unstretched_context;
  return config::rope_context(loaded.model->config());
}

void AnsweringModel::configure(generate::GenerateOptions& options) const {
  options.stop_ids = generation_config.stop_ids;
  options.sampling.repetition_penalty = generation_config.repetition_penalty;
}

void AnsweringOptions::bind(CLI::App& command) {
  add_option(command, "base_model", base_model, "Directory of the base or merged model (config.json and weights)")
      ->required();
  add_option(command, "peft_model", peft_model, "Directory of an adapter or checkpoint");
  add_option(command, "tokenizer", tokenizer, "Directory with tokenizer.json and chat template; empty: --base_model");
  add_tokens(
      command, "context_size", context_size,
      "Context that decides the RoPE factor; 0: the adapter's, else the base as it is. With dca: tokens of prompt "
      "and answer at the most; the RoPE of a base stays as it is");
  with_choices(
      add_option(command, "attention", attention,
                 "Over the prompt: full; hici: the prompt is one segment with its slots in front; dca: Dual Chunk "
                 "Attention, which takes a base beyond its context without training"),
      {"full", "hici", "dca"});
  add_bool(command, "cache_slots", cache_slots, "With hici: the answer's tokens see the slots too");
  base_format.bind(command);
  add_tokens(command, "prefill_chunk", generation.prefill_chunk, "Tokens of a prompt in one forward; bounds its memory",
             kTokensFromOne);
  add_bool(command, "record_graph", generation.records_graph, "On a GPU: the step of decoding as one CUDA graph");
  dual_chunk.bind(command);
  hici.bind(command);
  device.bind(command);
}

void AnsweringOptions::check() {
  generation.attention = nn::attention_kind_from_name(attention, "--attention");
  generation.backend = device.resolve_attention_backend();
  generation.validate();
  HICI_CHECK_USAGE(generation.backend != ops::AttentionBackend::kHopper,
                   "--attention_backend: hopper attends inside whole segments, not to a cache; use auto, cudnn, flash "
                   "or math");
  dual_chunk.check(generation.attention == nn::AttentionKind::kDca, "--attention dca", generation.backend);
  HICI_CHECK_USAGE(!dual_chunk.mscale.value || context_size > 0,
                   "--dca_mscale: depends on the tokens of prompt and answer; give them as --context_size");
  generation.dual_chunk = dual_chunk.rule(context_size);
  if (hici.num_chunks.typed()) log_info("--num_chunks has no effect: a prompt is one segment");
  if (generation.attention == nn::AttentionKind::kHici) return;
  hici.note_without_effect("--attention " + attention);
  HICI_CHECK_USAGE(!cache_slots.typed(), "--cache_slots: has no effect with --attention ", attention,
                   "; use --attention hici");
}

nlohmann::json AnsweringOptions::settings(const AnsweringModel& model) const {
  const io::LoadedModel& loaded = model.loaded;
  nlohmann::json json{{"base_model", base_model},
                      {"peft_model", peft_model},
                      {"tokenizer", tokenizer_folder()},
                      {"attention", attention},
                      {"context_size", loaded.context_size},
                      {"rope_factor", loaded.model->config().rope.context_factor},
                      {"dtype", ops::dtype_name(loaded.dtype)},
                      {"device", loaded.device.str()},
                      {"tokenizer_sha256", model.tokenizer.sha256()},
                      {"weights_hash", loaded.weights_hash},
                      {"config_hash", loaded.config_hash},
                      {"stop_ids", model.generation_config.stop_ids},
                      {"library_version", kVersion}};
  if (const double penalty = model.generation_config.repetition_penalty; penalty != 1)
    json["repetition_penalty"] = penalty;
  add_differences(json, loaded);
  base_format.record(json);
  if (generation.attention == nn::AttentionKind::kHici) {
    json["cache_slots"] = generation.cache_slots;
    json["causal_mode"] = name_of(loaded.hici.causal_mode);
  }
  if (generation.attention == nn::AttentionKind::kDca) {
    json["pretraining_length"] = dual_chunk.pretraining_length.value;
    json["dca_local_window"] = dual_chunk.local_window.value;
    json["dca_mscale"] = dual_chunk.mscale.value;
    json["dca_context_size"] = context_size;
  }
  return json;
}

ReadPlaces AnsweringOptions::read_places() const {
  ReadPlaces places = read_places_of_model(base_model, peft_model);
  add_read_places(places, tokenizer, "--tokenizer");
  return places;
}

text::Tokenizer AnsweringOptions::load_tokenizer() const {
  const std::filesystem::path path = tokenizer_folder();  // or tokenizer.json itself
  // The tokenizer of a checkpoint is what its manifest says.
  const io::FolderCheck check(std::filesystem::is_directory(path) ? path : folder_of(path));
  return text::Tokenizer::from_path(path);
}

AnsweringModel AnsweringOptions::load() const {
  text::Tokenizer tokenizer_of_model = load_tokenizer();
  const bool is_dca = generation.attention == nn::AttentionKind::kDca;
  const int64_t stretched_context = is_dca && peft_model.empty() ? 0 : context_size;
  const config::BaseFormat format = base_format.resolve();
  io::ModelRequest request = model_request(base_model, peft_model, stretched_context, device,
                                           generation.attention == nn::AttentionKind::kHici);
  // Layer by layer, so that a model that is larger than the device before that need not fit.
  request.layer_loaded = [format](nn::CausalLm& model, size_t layer) {
    model.quantise_layer(layer, format, /*has_backward=*/false);
  };
  io::LoadedModel loaded = load_model(request, hici);
  if (is_dca) generation.dual_chunk.resolve(loaded.model->config());  // what it does not allow, before any work
  loaded.model->check_attention_backend(generation.backend, "--attention_backend");
  HICI_CHECK_USAGE(generation.attention != nn::AttentionKind::kHici || loaded.has_hierarchy,
                   "--attention: hici, and neither base nor adapter has HiCI modules; use full");
  io::GenerationConfig generation_config = io::read_generation_config(base_model, loaded.model->config());
  for (const std::string& note : generation_config.notes) log_warning(note);
  if (!tokenizer.empty())
    io::warn_of_foreign_tokens("--tokenizer " + tokenizer, tokenizer_of_model.sha256(), base_model, loaded);
  AnsweringModel model{std::move(loaded), std::move(tokenizer_of_model), std::move(generation_config)};
  if (is_dca) model.unstretched_context = context_size > 0 ? context_size : kUnboundedContext;
  return model;
}

}  // namespace hici::commands
