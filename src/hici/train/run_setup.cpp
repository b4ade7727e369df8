// SPDX-License-Identifier: Apache-2.0
#include "hici/train/run_setup.h"

#include "hici/base/error.h"
#include "hici/base/field_text.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/config/divides.h"
#include "hici/io/model_facts.h"
#include "hici/plan/make_problem.h"
#include "hici/train/checkpoint_files.h"
#include "hici/train/place_weights.h"
#include "hici/train/segment_streaming.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace hici::train {
namespace {

void check_segments(const TrainingRunSpec& spec, const config::HiciConfig& hici) {
  if (spec.sft || spec.attention == nn::AttentionKind::kFull) return;  // sft: they follow from --sft_segment_length
  config::check_divides("`num_segments`", hici.num_segments, "`sequence_length`", spec.train.sequence_length);
}

// Kinds of adapters whose gradients PEFT has and this program has not.
void check_can_train(const TrainingRunSpec& spec, const io::OpenedModel& opened) {
  if (!opened.adapter) return;
  const io::Adapter& adapter = *opened.adapter;
  const std::string subject = "`init_adapter`: " + adapter.path.string();
  const char* const merge_first = "merge the adapter into its base with hici merge, and train a new one on that";
  HICI_CHECK_USAGE(adapter.peft.why_not_trained.empty(), subject, ": ", adapter.peft.why_not_trained,
                   ", which is not done here; ", merge_first);
  HICI_CHECK_USAGE(adapter.lora.with_bias.empty(), subject, ": lora_bias is not trained here; go on with PEFT");
  for (const io::Fold& fold : adapter.folds) {
    HICI_CHECK_USAGE(!fold.has_magnitude, subject, ": use_dora is not trained here; ", merge_first);
    HICI_CHECK_USAGE(optim::is_trained(spec.trainable, fold.module + ".weight"), subject, ": adapts ", fold.module,
                     ", which is not trained by itself here; add ", fold.module.substr(fold.module.rfind('.') + 1),
                     " to `trainable_params`, which trains the sum whole, or ", merge_first);
    log_info(subject, ": what it adds to ", fold.module,
             " is part of the weight from now on, which is trained whole (`trainable_params`)");
  }
}

// PEFT goes on with the adapter's own; here the option decides, also where it is not given.
void tell_dropout(const TrainingRunSpec& spec, const io::OpenedModel& opened) {
  const std::optional<double> before = opened.adapter ? opened.adapter->peft.lora_dropout : std::nullopt;
  if (!before || *before == spec.train.lora_dropout) return;
  log_info("`init_adapter`: ", opened.adapter->path.string(), " was trained with lora_dropout ",
           shortest_number(*before), ", and goes on with `lora_dropout` ", shortest_number(spec.train.lora_dropout));
}

// Of the parameters that the adapter stores whole: those that are not trained.
void keep_frozen(const TrainingRunSpec& spec, io::LoadedModel& loaded) {
  if (!loaded.stored_whole) return;
  loaded.stored_whole = io::part_of(loaded.stored_whole,
                                    [&](const std::string& name) { return !optim::is_trained(spec.trainable, name); });
  if (loaded.stored_whole->tensors().empty()) loaded.stored_whole = nullptr;
}

// A name in --lora_rank_pattern that matches nothing is a slip.
void check_patterns_match(const io::LoadedModel& loaded) {
  if (!loaded.lora || loaded.lora->modules) return;  // an adapter's own patterns are as its writer left them
  std::set<std::string> modules;
  constexpr std::string_view kFactor = ".lora_A.weight";
  loaded.model->visit_parameters([&](const std::string& name, at::Tensor&) {
    if (name.ends_with(kFactor)) modules.insert(name.substr(0, name.size() - kFactor.size()));
  });
  for (const auto& [key, rank] : loaded.lora->rank_pattern.items()) {
    config::NamePatterns<int64_t> one;
    one.add(key, rank, "`lora_rank_pattern`");
    const bool matches = std::any_of(modules.begin(), modules.end(),
                                     [&](const std::string& module) { return one.find(module).has_value(); });
    HICI_CHECK_USAGE(matches, "`lora_rank_pattern`: '", key,
                     "' matches no layer with an adapter; use the end of a name, such as q_proj or "
                     "layers.0.self_attn.q_proj");
  }
}

io::LoadedModel load_for_training(const TrainingRunSpec& spec, io::ModelRequest model, const io::OpenedModel& opened,
                                  const config::HiciConfig& hici, const parallel::World& world) {
  if (spec.train.stream_segments) check_streamable(spec.attention, hici);
  check_segments(spec, hici);
  model.layer_loaded = place_frozen_weights(spec.sharding, spec.trainable, spec.base_format, world, spec.device);
  HICI_CHECK_USAGE(!model.layer_loaded || spec.base_format == config::BaseFormat::kModel || !spec.copy_attention_init,
                   "`use_llama_init`: projections are quantised already with `base_format` ", name_of(spec.base_format),
                   " and `shard` full or `offload` weights; leave one of them out");
  if (!model.layer_loaded && spec.base_format != config::BaseFormat::kModel && !spec.copy_attention_init)
    model.layer_loaded = quantise_when_loaded(spec.trainable, spec.base_format);
  check_can_train(spec, opened);
  io::LoadedModel loaded = io::build_model(model, opened, hici);
  keep_frozen(spec, loaded);
  check_patterns_match(loaded);
  HICI_CHECK_USAGE(spec.trainable.low_rank || !loaded.lora, "`init_adapter`: ", spec.init_adapter.string(),
                   " is an adapter, which `low_rank_training` False cannot train; merge it into its base first");
  return loaded;
}

// What this run is, for its checkpoints. One that goes on must be what its checkpoint was.
io::TrainingState settle_run(const TrainingRunSpec& spec, const ResumePoint& resume, const io::LoadedModel& loaded,
                             const TrainingData& data) {
  io::warn_of_foreign_tokens(data.identity.path, data.tokenizer_sha256, spec.model.string(), loaded);
  io::TrainingState run = describe_run(spec, loaded, data);
  io::TrainingState saved = resume.state;
  saved.start_options = start_options_in_force(spec, loaded, resume.checkpoint ? &resume.state : nullptr);
  if (resume.checkpoint)
    io::check_resumable(*resume.checkpoint, saved, run, spec.allow_changes_on_resume, "`allow_changes_on_resume`");
  for (const auto& [name, value] : run.start_options) {  // an adapter to start from decides rank and scale
    const std::string& in_force = saved.start_options.emplace(name, value).first->second;
    HICI_CHECK_USAGE(value == in_force, field_text(name), ": ", value, " contradicts the adapter, which has ", in_force,
                     "; leave the option out");
  }
  run.start_options = saved.start_options;
  return run;
}

nn::ForwardOptions make_forward(const TrainingRunSpec& spec, const io::LoadedModel& loaded) {
  nn::ForwardOptions forward;
  forward.attention = nn::attention_in_force(spec.attention, loaded.has_hierarchy);
  const bool has_slots = forward.attention == nn::AttentionKind::kHici;
  loaded.model->check_attention_backend(spec.attention_backend, "`attention_backend`",
                                        has_slots ? loaded.hici.slots_per_segment() : 0);
  forward.backend = spec.attention_backend;
  if (spec.attention == nn::AttentionKind::kFull) return forward;
  forward.segment_length = spec.sft ? spec.sft->segment_length : spec.train.sequence_length / loaded.hici.num_segments;
  return forward;
}

plan::PlannedStep plan_training_step(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
                                     const nn::ForwardOptions& forward, const parallel::World& world) {
  const nn::Attention& attention = loaded.model->layers().front().attention;
  plan::PlanProblem stated;
  stated.model = loaded.model->config();
  stated.shape.batch = spec.train.batch_size;
  stated.shape.tokens = spec.train.sequence_length;
  stated.shape.attention = forward.attention;
  stated.shape.segment_length = forward.segment_length;
  if (attention.hierarchy) stated.shape.hici = loaded.hici;
  if (loaded.lora) stated.shape.lora_rank = loaded.lora->largest_rank();
  stated.shape.has_dropout = spec.train.lora_dropout > 0;
  stated.dtype = spec.dtype;
  stated.stream_segments = spec.train.stream_segments;
  stated.accumulation_steps = spec.train.accumulation_steps;
  stated.trainable = spec.trainable;
  stated.lora = loaded.lora.value_or(spec.lora);
  stated.mesh = world.mesh();
  stated.sharding = spec.sharding;
  stated.base_format = spec.base_format;
  plan::PlanProblem problem = plan::make_problem(std::move(stated), plan::count_parameters(*loaded.model), spec.device);
  std::optional<int64_t> budget = plan::memory_budget(spec.device);
  if (budget) budget = parallel::least_of(world, *budget);
  return plan::plan_step(std::move(problem), spec.activation_policy, budget);
}

parallel::Facts facts_of(const RunInputs& inputs) {
  parallel::Facts facts{{"the content of the data", inputs.data.identity.fingerprint},
                        {"the number of samples", std::to_string(inputs.data.identity.num_samples)}};
  if (inputs.evaluation)
    facts.emplace_back("the content of the evaluation data", inputs.evaluation->identity.fingerprint);
  return io::facts_of_run(facts, inputs.loaded.identity);
}

}  // namespace

io::ModelRequest model_to_train(const TrainingRunSpec& spec, const ResumePoint& resume) {
  io::ModelRequest request;
  const auto start = resume.checkpoint ? resume.checkpoint : resume.weights;
  const bool starts_whole = start && !spec.trainable.low_rank;
  request.base = starts_whole ? *start : spec.model;
  if (!starts_whole) request.adapter = start.value_or(spec.init_adapter);
  request.dtype = spec.dtype;
  request.device = spec.device;
  request.context_size = spec.train.sequence_length;
  request.fresh_hierarchy = spec.attention == nn::AttentionKind::kHici;
  if (spec.trainable.low_rank) request.lora = spec.lora;
  request.copy_attention_init = spec.copy_attention_init;
  const auto pad = resume.state.start_options.find("add_pad_token");  // the checkpoint's, where it is known
  const bool has_pad = pad != resume.state.start_options.end() ? pad->second == "True" : spec.add_pad_token;
  request.add_pad_token = has_pad && !starts_whole;  // a whole one has the row
  request.seed = spec.train.seed;
  request.warns_of_other_base = !resume.checkpoint;  // check_resumable() refuses it
  return request;
}

RunInputs load_inputs(const TrainingRunSpec& spec, const ResumePoint& resume, const io::ModelRequest& model,
                      const io::OpenedModel& opened, const config::HiciConfig& hici, const parallel::World& world) {
  RunInputs inputs;
  if (!resume.checkpoint) tell_dropout(spec, opened);
  inputs.loaded = load_for_training(spec, model, opened, hici, world);
  inputs.forward = make_forward(spec, inputs.loaded);
  const DataUse use = data_use(spec, inputs.loaded.model->config(), inputs.forward.segment_length);
  inputs.data = open_training_data(spec, use, world);
  inputs.identity = settle_run(spec, resume, inputs.loaded, inputs.data);
  if (spec.evaluation) {
    inputs.evaluation = open_evaluation_data(spec, use, world);
    io::warn_of_foreign_tokens(spec.evaluation->data_path.string(), inputs.evaluation->tokenizer_sha256,
                               spec.model.string(), inputs.loaded);
  }
  inputs.total_steps = spec.train.total_steps(inputs.data.identity.num_samples);
  if (world.size() > 1) parallel::check_same(world, facts_of(inputs));
  return inputs;
}

RunStep build_step(const TrainingRunSpec& spec, const RunInputs& inputs, const parallel::World& world) {
  RunStep step{optim::select_trainable(*inputs.loaded.model, spec.trainable), {}, inputs.forward};
  const bool is_placed = inputs.loaded.model->frozen_weights() != nullptr;
  if (!is_placed) inputs.loaded.model->quantise_frozen(spec.base_format);
  step.planned = plan_training_step(spec, inputs.loaded, inputs.forward, world);
  plan::announce_plan(step.planned);
  step.forward.policies = step.planned.plan.policies;
  return step;
}

}  // namespace hici::train
