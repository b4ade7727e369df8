// SPDX-License-Identifier: Apache-2.0
#include "hici/train/checkpoint_files.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/human.h"
#include "hici/base/is_there.h"
#include "hici/base/joined.h"
#include "hici/base/json.h"
#include "hici/base/parse_number.h"
#include "hici/base/version.h"
#include "hici/config/bounds.h"
#include "hici/config/parameter_names.h"
#include "hici/io/adapter.h"
#include "hici/io/known_files.h"
#include "hici/io/model_directory.h"
#include "hici/io/safetensors.h"
#include "hici/optim/schedule_settings.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>

namespace hici::train {
namespace {

constexpr const char* kSegmentOption = "sft_segment_length";  // every run of `hici sft` has it and no other
constexpr uint64_t kMaxShardBytes = uint64_t{5} << 30;

config::AdapterSettings settings_of(const CheckpointContent& content) {
  config::AdapterSettings settings;
  settings.hici = content.loaded.hici;
  settings.context_size = content.spec.train.sequence_length;
  settings.rope_factor = content.loaded.model->config().rope.context_factor;
  settings.library_version = kVersion;
  return settings;
}

// What the adapter that training began with stores whole and nobody trains further: without it a checkpoint would be
// another model.
void add_frozen(const CheckpointContent& content, io::AdapterToWrite& adapter) {
  const auto& source = content.loaded.stored_whole;
  if (!source) return;
  for (const auto& [name, info] : source->tensors()) {
    std::string copied = name;
    adapter.trainables.emplace_back(name, info.dtype, info.shape, [source, copied] { return source->read(copied); });
  }
}

// Trained values at their best precision: the float32 master where the model's own type is narrower.
io::AdapterToWrite adapter_of(const CheckpointContent& content) {
  const std::map<std::string, io::TensorToWrite> masters = content.optimizer.master_weights();
  io::AdapterToWrite adapter;
  if (content.loaded.lora) adapter.lora = *content.loaded.lora;
  adapter.settings = settings_of(content);
  adapter.base_model = content.spec.model.string();
  adapter.lora_dropout = content.spec.train.lora_dropout;
  adapter.identity = content.state.identity;
  for (const optim::TrainedParameter& parameter : content.trained) {
    const auto master = masters.find(parameter.name);
    (config::is_lora_parameter(parameter.name) ? adapter.lora_tensors : adapter.trainables)
        .push_back(master == masters.end() ? io::TensorToWrite(parameter.name, parameter.tensor.detach())
                                           : master->second);
  }
  add_frozen(content, adapter);
  return adapter;
}

// The files of a model directory beside its weights, by name. A context factor becomes part of config.json's RoPE
// scaling.
std::map<std::string, std::string> config_texts(const CheckpointContent& content) {
  std::map<std::string, std::string> texts;
  texts["config.json"] = config::to_json(content.loaded.model->config()).dump(2) + "\n";
  if (content.loaded.has_hierarchy) {
    config::AdapterSettings settings = settings_of(content);
    settings.rope_factor = 1;  // config.json has it; a second reader of this directory must not see it twice
    texts["hici_config.json"] = config::to_json(settings).dump(2) + "\n";
  }
  texts[io::kIdentityName] = io::identity_text(content.state.identity);
  return texts;
}

std::vector<std::filesystem::path> companions_of(const std::filesystem::path& model) {
  std::vector<std::filesystem::path> files;
  for (const std::string& name : io::companion_files()) {
    if (is_there(model / name)) files.push_back(model / name);
  }
  return files;
}

std::vector<io::TensorToWrite> tensors_of(nn::CausalLm& model) {
  std::vector<io::TensorToWrite> tensors;
  model.visit_parameters([&](const std::string& name, at::Tensor& t) { tensors.emplace_back(name, t.detach()); });
  return tensors;
}

void write_whole_model(const std::filesystem::path& folder, const CheckpointContent& content) {
  io::write_safetensors_model(folder, tensors_of(*content.loaded.model), kMaxShardBytes);
  for (const auto& [name, text] : config_texts(content)) write_file_atomically(folder / name, text);
  for (const std::filesystem::path& file : companions_of(content.spec.model))
    std::filesystem::copy_file(file, folder / file.filename());
}

uint64_t whole_model_bytes(const CheckpointContent& content) {
  uint64_t bytes = io::safetensors_bytes(tensors_of(*content.loaded.model));
  for (const auto& [name, text] : config_texts(content)) bytes += text.size();
  for (const std::filesystem::path& file : companions_of(content.spec.model)) bytes += std::filesystem::file_size(file);
  return bytes;
}

void write_optimizer(const std::filesystem::path& folder, const OptimizerState& optimizer) {
  io::write_safetensors(folder / io::kOptimizerName, optimizer.tensors(),
                        {{kStepsKey, std::to_string(optimizer.steps_taken())}});
}

const char* text_of(bool value) { return value ? "True" : "False"; }

std::map<std::string, std::string> lora_options(const config::LoraConfig& lora) {
  return {{"lora_r", std::to_string(lora.rank)},
          {"lora_alpha", shortest_number(lora.alpha)},
          {"use_rslora", text_of(lora.use_rslora)},
          {"lora_rank_pattern", config::rank_pattern_text(lora.rank_pattern)},
          {"lora_target_modules", joined(lora.targets, ",")}};
}

std::map<std::string, std::string> start_options_of(const TrainingRunSpec& spec) {
  std::map<std::string, std::string> options{{"use_llama_init", text_of(spec.copy_attention_init)},
                                             {"add_pad_token", text_of(spec.add_pad_token)}};
  if (spec.trainable.low_rank) options.merge(lora_options(spec.lora));
  return options;
}

// What checkpoints of earlier versions do not have: its absence is the default.
void add_unless_default(const config::TrainConfig& t, std::map<std::string, std::string>& options) {
  const config::TrainConfig defaults;
  const auto add = [&](const char* name, double value, double absent) {
    if (value != absent) options[name] = shortest_number(value);
  };
  add("adam_beta1", t.adam_beta1, defaults.adam_beta1);
  add("adam_beta2", t.adam_beta2, defaults.adam_beta2);
  add("adam_epsilon", t.adam_epsilon, defaults.adam_epsilon);
  add("lora_dropout", t.lora_dropout, defaults.lora_dropout);
  const std::string kwargs = optim::canonical_schedule_kwargs(t);
  if (!kwargs.empty()) options["schedule_kwargs"] = kwargs;
  if (t.shuffle && t.order_seed() != t.seed) options["data_seed"] = std::to_string(t.order_seed());
}

}  // namespace

io::TrainingState describe_run(const TrainingRunSpec& spec, const io::LoadedModel& loaded, const TrainingData& data) {
  const config::TrainConfig& t = spec.train;
  const config::HiciConfig& hici = loaded.hici;
  const int64_t total_steps = t.total_steps(data.identity.num_samples);
  io::TrainingState state;
  state.seed = t.seed;
  state.sequence_length = t.sequence_length;
  state.batch = {t.batch_size, t.accumulation_steps, t.data_processes};
  state.data = data.identity;
  state.identity.tokenizer_sha256 =
      data.tokenizer_sha256.empty() ? loaded.identity.tokenizer_sha256 : data.tokenizer_sha256;
  if (spec.trainable.low_rank) {  // a whole model has no base
    state.identity.base = loaded.identity.base;
    state.identity.config = loaded.identity.config;
  }
  for (const auto& [name, value] : start_options_of(spec)) {
    if (spec.typed_start_options.contains(name)) state.start_options[name] = value;
  }
  state.options = {{"attention", std::string(nn::attention_kind_name(spec.attention))},
                   {"dtype", ops::dtype_name(spec.dtype)},
                   {"shuffle", t.shuffle ? "True" : "False"},
                   {"low_rank_training", spec.trainable.low_rank ? "True" : "False"},
                   {"learning_rate", shortest_number(t.learning_rate)},
                   {"hici_lr", shortest_number(t.hici_learning_rate)},
                   {"weight_decay", shortest_number(t.weight_decay)},
                   {"max_grad_norm", shortest_number(t.max_grad_norm)},
                   {"hici_grad_clip", shortest_number(t.hici_grad_clip)},
                   {"lr_scheduler_type", t.schedule},
                   {"warmup_steps", std::to_string(t.warmup(total_steps))}};
  add_unless_default(t, state.options);
  if (spec.base_format != config::BaseFormat::kModel) state.options["base_format"] = name_of(spec.base_format);
  if (spec.packs_documents) state.options["packing"] = "document";
  if (!spec.mix.empty()) state.options["data_mix"] = mix_identity(data);
  if (spec.sft) {
    state.options["prompt_style"] = spec.sft->prompt_style;
    state.options["packing"] = spec.sft->packing ? "True" : "False";
    state.options[kSegmentOption] = std::to_string(spec.sft->segment_length);
  } else if (spec.attention != nn::AttentionKind::kFull) {
    state.options["num_chunks"] = std::to_string(hici.num_segments);
  }
  if (spec.attention == nn::AttentionKind::kHici) state.options["causal_mode"] = name_of(hici.causal_mode);
  if (spec.trainable.low_rank) {
    for (const std::string& part : spec.trainable.name_parts) state.options["trainable_params"] += part + ",";
  }
  // A longer run is the same run where the rate does not depend on its end.
  if (optim::make_schedule(t, total_steps).depends_on_end()) state.options["max_steps"] = std::to_string(total_steps);
  return state;
}

std::map<std::string, std::string> start_options_in_force(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
                                                          const io::TrainingState* saved) {
  std::map<std::string, std::string> options = saved != nullptr ? saved->start_options : start_options_of(spec);
  if (!loaded.lora) return options;
  for (const auto& [name, value] : lora_options(*loaded.lora)) options[name] = value;
  return options;
}

std::map<std::string, std::string> options_of_model(const TrainingRunSpec& spec, const io::LoadedModel& loaded) {
  const config::HiciConfig& hici = loaded.hici;
  std::map<std::string, std::string> options;
  if (!spec.sft && spec.attention != nn::AttentionKind::kFull)
    options["num_chunks"] = std::to_string(hici.num_segments);
  if (!loaded.has_hierarchy) {
    if (spec.attention == nn::AttentionKind::kHici) options["use_hierarchical_forward"] = text_of(false);
    return options;
  }
  options.merge(std::map<std::string, std::string>{{"num_local_slots", std::to_string(hici.num_local_slots)},
                                                   {"global_slots", std::to_string(hici.global_slots)},
                                                   {"num_heads", std::to_string(hici.num_heads)},
                                                   {"use_bottleneck", text_of(hici.use_bottleneck)},
                                                   {"bottleneck_dim", std::to_string(hici.bottleneck_dim)},
                                                   {"shared_compress_dim", std::to_string(hici.shared_compress_dim)},
                                                   {"shared_compressor", text_of(hici.shared_compressor)},
                                                   {"use_global_integrator", text_of(hici.use_global_integrator)},
                                                   {"causal_mode", name_of(hici.causal_mode)}});
  return options;
}

bool is_fine_tuning(const io::TrainingState& run) { return run.options.contains(kSegmentOption); }

io::TrainingState state_at(io::TrainingState run, const Progress& progress) {
  run.step = progress.step;
  run.tokens = progress.tokens_seen;
  run.epoch = progress.position.epoch;
  run.next_sample = progress.position.index;
  return run;
}

uint64_t checkpoint_bytes(const CheckpointContent& content) {
  const uint64_t model =
      content.spec.trainable.low_rank ? io::adapter_bytes(adapter_of(content)) : whole_model_bytes(content);
  return model + io::safetensors_bytes(content.optimizer.tensors()) + io::training_state_text(content.state).size();
}

void write_checkpoint_files(const std::filesystem::path& folder, const CheckpointContent& content) {
  const at::NoGradGuard no_grad;
  if (content.spec.trainable.low_rank) {
    io::write_adapter_files(folder, adapter_of(content));
  } else {
    write_whole_model(folder, content);
  }
  write_optimizer(folder, content.optimizer);
  io::write_training_state(folder, content.state);
}

}  // namespace hici::train
