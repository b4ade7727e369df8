// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/training_options.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/joined.h"
#include "hici/base/log.h"
#include "hici/base/process_rank.h"
#include "hici/commands/options/deepspeed_options.h"
#include "hici/commands/options/option_values.h"
#include "hici/commands/options/trainer_options.h"
#include "hici/config/lora_targets.h"
#include "hici/optim/schedule_settings.h"
#include "hici/train/segment_streaming.h"

#include <algorithm>

namespace hici::commands {
namespace {

void check_no_contradiction(const TrainingOptions& o) {
  HICI_CHECK_USAGE(!o.spec.allow_changes_on_resume || !o.spec.resume.empty(),
                   "--allow_changes_on_resume: has no effect without --resume_from_checkpoint; leave it out");
  for (const DeclaredOption* option : OptionList{&o.trainable_params, &o.lora_r, &o.lora_alpha, &o.use_rslora,
                                                 &o.lora_target_modules, &o.lora_rank_pattern}) {
    HICI_CHECK_USAGE(o.spec.trainable.low_rank || !option->typed(), option->name(),
                     ": has no effect with --low_rank_training False, which trains everything; leave it out");
  }
  HICI_CHECK_USAGE(o.spec.trainable.low_rank || o.spec.train.lora_dropout == 0, o.lora_dropout.name(),
                   ": has no effect with --low_rank_training False, which trains everything; leave it out");
  HICI_CHECK_USAGE(o.spec.train.schedule != "constant" || !o.warmup_steps.typed() || o.warmup_steps.value == 0,
                   "--warmup_steps: has no effect with --lr_scheduler_type constant; leave it out or use "
                   "constant_with_warmup");
  HICI_CHECK_USAGE(o.save_strategy != "no" || !o.save_steps.typed(),
                   "--save_steps: has no effect with --save_strategy no; leave one of them out");
  for (const DeclaredOption* option :
       OptionList{&o.lora_r, &o.lora_alpha, &o.use_rslora, &o.lora_target_modules, &o.lora_rank_pattern}) {
    HICI_CHECK_USAGE(o.init_adapter.empty() || !option->typed(), option->name(),
                     ": has no effect with --init_adapter, whose adapters keep their rank and alpha; leave it out");
  }
  HICI_CHECK_USAGE(o.save_strategy == "steps" || o.save_strategy == "no", "--save_strategy: unknown strategy '",
                   o.save_strategy, "'; use steps (with --save_steps) or no (only at the end)");
  HICI_CHECK_USAGE((!o.use_llama_init.value && !o.use_attn_init.value) || o.attention == "hici",
                   "--use_llama_init: has no effect with --attention ", o.attention, "; leave it out");
}

// Options that come with a DeepSpeed file were written for the research code's eight processes.
void log_sequences_of_recipe(const config::TrainConfig& t, int64_t data_processes) {
  constexpr int64_t kRecipeProcesses = 8;
  if (data_processes == kRecipeProcesses) return;
  const int64_t here = t.sequences_per_step() * data_processes, there = t.sequences_per_step() * kRecipeProcesses;
  log_info("a step has ", counted(here, "sequence"), " here, with ",
           data_processes == 1 ? "one process" : hici::detail::concat(data_processes, " processes side by side"),
           "; on the research code's ", kRecipeProcesses, " GPUs these options give ", there,
           there % here == 0 ? hici::detail::concat(", as --gradient_accumulation_steps ",
                                                    t.accumulation_steps * (there / here), " does here")
                             : "");
}

using OptionTexts = std::map<std::string, std::string>;

// What the file decides.
OptionTexts use_deepspeed_file(TrainingOptions& o) {
  const DeepspeedSettings settings = read_deepspeed_file(o.deepspeed);
  const ProcessRank process = process_rank();
  const int64_t data_processes = std::max<int64_t>(1, process.world / o.spec.segment_processes);
  OptionTexts decided = apply_deepspeed(settings, data_processes, o);
  if (process.rank != 0) return decided;
  std::vector<std::string> words;
  for (const auto& [name, value] : decided) words.push_back(name + " " + value);
  log_info("--deepspeed ", o.deepspeed, ": ", words.empty() ? "says nothing that the options do not" : joined(words));
  if (!settings.without_meaning.empty())
    log_info("--deepspeed ", o.deepspeed, ": without meaning here: ", joined(settings.without_meaning));
  if (!settings.batch_size) log_sequences_of_recipe(o.spec.train, data_processes);
  return decided;
}

// transformers' scripts take True for the newest checkpoint; a folder of that name is meant as it is.
std::string resume_from_typed(const std::string& typed) {
  const bool is_true = typed == "True" || typed == "true", is_false = typed == "False" || typed == "false";
  if ((!is_true && !is_false) || std::filesystem::exists(typed)) return typed;
  return is_true ? "latest" : "";
}

// In the order of config::kLoraTargets, then whole names; each once.
std::vector<std::string> target_modules(const std::string& text) {
  if (text == "all-linear") return {config::kLoraTargets.begin(), config::kLoraTargets.end()};
  const std::vector<std::string> typed = split_at_commas(text);
  std::vector<std::string> out;
  const auto add = [&](const std::string& name) {
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  };
  for (const std::string_view known : config::kLoraTargets)
    if (std::find(typed.begin(), typed.end(), known) != typed.end()) add(std::string(known));
  for (const std::string& name : typed) add(name);
  return out;
}

// As transformers reads them: a fraction is one of all steps, a warm-up in steps goes before one by a ratio, and the
// constant schedule looks at neither.
void settle_warmup(TrainingOptions& o) {
  config::TrainConfig& t = o.spec.train;
  const bool is_fraction = o.warmup_steps.value > 0 && o.warmup_steps.value < 1;
  t.warmup_steps = static_cast<int64_t>(o.warmup_steps.value);
  if (is_fraction) t.warmup_ratio = o.warmup_steps.value;
  if (!o.warmup_ratio.typed()) return;
  const bool is_constant = t.schedule == "constant", has_steps = o.warmup_steps.typed() && o.warmup_steps.value > 0;
  if (is_constant || has_steps) {
    log_info(o.warmup_ratio.name(), " has no effect with ",
             is_constant ? std::string("--lr_scheduler_type constant")
                         : detail::concat(o.warmup_steps.name(), " ", shortest_number(o.warmup_steps.value)));
    return;
  }
  t.warmup_ratio = o.warmup_ratio.value;
}

// What the options alone say; the causal mode of an adapter or of the model's family is looked at when it is known.
void check_streaming(const TrainingOptions& o) {
  if (!o.spec.train.stream_segments) return;
  config::HiciConfig hici = o.hici.values;
  hici.causal_mode = o.hici.causal_mode.value.empty()
                         ? config::CausalMode::kCausalGi
                         : parse_enum<config::CausalMode>(o.hici.causal_mode.value, o.hici.causal_mode.name());
  hici.use_global_integrator = hici.use_global_integrator && o.hici.use_hierarchical_forward.value;
  train::check_streamable(o.spec.attention, hici);
}

}  // namespace

CLI::Option* TrainingOptions::bind_model_and_data(CLI::App& app, const std::string& data_help) {
  add_option(app, "model_name_or_path", model, "Directory of the base model (config.json and weights)")->required();
  CLI::Option* const data = add_option(app, "data_path", data_path, data_help)->required();
  add_option(app, "split,--dataset_split", spec.split, "Split of a data set with several");
  add_option(app, "output_dir", output_dir, "Where checkpoints, metrics.jsonl and the event file go")->required();
  add_bool(app, "overwrite_output_dir", spec.overwrite_output,
           "Start a new run where --output_dir holds checkpoints of an old one, which are moved aside");
  return data;
}

void TrainingOptions::bind_what_to_train(CLI::App& app) {
  add_option(
      app, "init_adapter", init_adapter,
      "Start from the weights of this adapter, with a fresh optimizer; a checkpoint to resume from goes before it");
  add_option(
      app, "resume_from_checkpoint", spec.resume,
      "latest (or True): go on from the newest whole checkpoint in --output_dir, or start where there is none; or "
      "a checkpoint directory");
  add_bool(app, "allow_changes_on_resume", spec.allow_changes_on_resume,
           "Resume although data, batch or schedule differ from the checkpoint's");
  with_choices(add_option(app, "attention", attention,
                          "hici, full (causal over everything) or s2 (LongLoRA's shifted sparse attention)"),
               {"hici", "full", "s2"});
  add_bool(app, "low_rank_training", spec.trainable.low_rank, "LoRA and --trainable_params; False: every parameter");
  add_option(app, "trainable_params", trainable_params,
             "Parts of names that are trained beside LoRA and HiCI, separated by commas");
  add_option(app, "lora_r", lora_r, "Rank of the adapters", {1, config::kMaxLoraRank});
  add_option(app, "lora_alpha", lora_alpha, "Adapters are scaled by alpha / rank",
             {config::kMinLoraAlpha, config::kMaxLoraAlpha});
  add_bool(app, "use_rslora", use_rslora, "Scale adapters by alpha / sqrt(rank)");
  add_option(app, "lora_target_modules", lora_target_modules,
             "Layers with adapters, by the ends of their names, separated by commas: q_proj, k_proj, v_proj, o_proj, "
             "gate_proj, up_proj, down_proj, layers.0.self_attn.q_proj, ...; all-linear: all of these");
  add_option(app, "lora_rank_pattern", lora_rank_pattern,
             "Other ranks by the ends of names, as in q_proj=16,v_proj=4, or as PEFT's JSON object; the first match "
             "counts");
  add_option(app, "lora_dropout", lora_dropout,
             "Part of the channels that each adapter does not see in training, 0 to below 1; the others are scaled up",
             {0, 1});
  add_bool(
      app, "add_pad_token", add_pad_token,
      "One row more in embedding and head, for [PAD], as the research code adds where a tokenizer has no pad token");
  add_bool(app, "full_determinism", full_determinism,
           "A run on a CPU repeats in any case; on a GPU kernels add in any order, and True is an error");
  add_bool(app, "use_llama_init", use_llama_init, "Start local construction from the layer's own q, k and v");
  add_bool(app, "use_attn_init", use_attn_init, "The same as --use_llama_init");
}

void TrainingOptions::bind_how_to_train(CLI::App& app) {
  config::TrainConfig& t = spec.train;
  add_tokens(app, "model_max_length", model_max_length, "Tokens of a training sequence; decides the RoPE factor",
             {2, config::kMaxSequenceTokens});
  add_option(app, "per_device_train_batch_size", batch_size, "Sequences in one forward", kBatch);
  add_option(app, "gradient_accumulation_steps", accumulation_steps, "Forwards in one optimizer step", kBatch);
  add_option(app, "max_steps", t.max_steps, "Optimizer steps; -1: --num_train_epochs decides", {-1, config::kMaxCount});
  add_option(app, "num_train_epochs", t.num_epochs, "Passes over the data", {0, 1e6});
  add_option(app, "learning_rate", learning_rate, "Rate of LoRA, embedding and norms, 0 to 10",
             {0, config::kMaxLearningRate});
  add_option(app, "hici_lr", t.hici_learning_rate, "Rate of the HiCI modules and of adapters on them, 0 to 10",
             {0, config::kMaxLearningRate});
  add_option(app, "weight_decay", weight_decay, "Decay of matrices, 0 to 100; norms and biases are left alone",
             {0, config::kMaxWeightDecay});
  add_option(app, "adam_beta1", adam_beta1, "Decay of AdamW's mean of gradients, 0 to below 1", {0, 1});
  add_option(app, "adam_beta2", adam_beta2, "Decay of AdamW's mean of squared gradients, 0 to below 1", {0, 1});
  add_option(app, "adam_epsilon", adam_epsilon, "What AdamW adds to the root of that mean, 0 to 1",
             {0, config::kMaxAdamEpsilon});
  add_option(app, "warmup_steps", warmup_steps,
             "Steps from rate 0 to the full rate, or below 1 their part of all steps; not for --lr_scheduler_type "
             "constant",
             {0, static_cast<double>(config::kMaxCount)});
  add_option(app, "warmup_ratio", warmup_ratio,
             "The warm-up as a part of all steps, rounded up, where --warmup_steps is not given or 0", {0, 1});
  with_choices_of<optim::ScheduleKind>(add_option(
      app, "lr_scheduler_type", t.schedule,
      "As in transformers: constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial, "
      "inverse_sqrt, cosine_with_min_lr, cosine_warmup_with_min_lr or warmup_stable_decay"));
  add_option(app, "lr_scheduler_kwargs", t.schedule_kwargs,
             "JSON object of what the schedule takes: num_cycles (cosine kinds, warmup_stable_decay); lr_end, power "
             "(polynomial); timescale (inverse_sqrt); min_lr or min_lr_rate (*_min_lr); warmup_lr_rate "
             "(cosine_warmup_with_min_lr); num_decay_steps, num_stable_steps, warmup_type, decay_type, min_lr_ratio "
             "(warmup_stable_decay)");
  add_option(app, "max_grad_norm", max_grad_norm, "Limit of the norm of all gradients, up to 1e9; 0: none",
             {0, config::kMaxGradNorm});
  add_option(app, "hici_grad_clip", t.hici_grad_clip,
             "Limit of the norm of the HiCI gradients, up to 1e9, applied before --max_grad_norm; 0: none",
             {0, config::kMaxGradNorm});
  add_option(app, "max_nonfinite_steps", t.max_nonfinite_steps,
             "Stop after this many steps in a row whose loss or gradient is not finite", kFromOne);
  activations.bind(app);
  base_format.bind(app);
  add_bool(app, "stream_segments", t.stream_segments,
           "Work on one segment at a time, with the memory of one whatever the length; for every causal mode but none");
  add_bool(app, "shuffle", t.shuffle, "Visit the blocks in an order drawn from --seed, a new one in each epoch");
  add_option(app, "seed", t.seed, "Seed of initial values and of the order of the data", kSeeds);
  add_option(app, "data_seed", data_seed, "Seed of the order of the data, where it is another than --seed", kSeeds)
      ->default_str("");
  add_option(app, "logging_steps", t.logging_steps, "Steps between two lines of metrics.jsonl", kFromOne);
  with_choices(add_option(app, "save_strategy", save_strategy, "steps, or no: only at the end"), {"steps", "no"});
  add_option(app, "save_steps", save_steps, "Steps between two checkpoints; 0: only at the end", kFromZero);
  add_option(app, "save_total_limit", t.save_total_limit,
             "Checkpoints that are kept, among them the best that was evaluated; 0: all", kFromZero);
  evaluation.bind(app);
  sample.bind(app);
  add_bool(app, "dry_run", spec.dry_run,
           "Do all that comes before the first step, say what the run would take, and write nothing");
}

void TrainingOptions::bind_rest(CLI::App& command) {
  declared_in = &command;
  hici.bind(command);
  device.bind(command);
  add_option(command, "segment_parallel", spec.segment_processes,
             "Processes that share each sequence, by whole segments; started by torchrun, srun or mpirun", kFromOne);
  sharding.bind(command);
  sharding.bind_memory_limit(command);
  add_inherited(command, "cache_dir", "nothing is downloaded");
  add_inherited(command, "use_flash_attn", "the fastest exact attention of the device is taken by itself");
  add_inherited(command, "use_local_constructor_flash", "local construction never makes the scores' keys and values");
  add_option(
      command, "deepspeed", deepspeed,
      "A DeepSpeed file: its stage is --shard, its offloading --offload, and its numbers those of the options that "
      "are not given; what hici cannot do is refused");
  add_inherited(command, "tf32", "float32 work is done in float32");
  add_trainer_options(command);
}

void TrainingOptions::resolve() {
  spec.resume = resume_from_typed(spec.resume);
  const OptionTexts decided = deepspeed.empty() ? OptionTexts{} : use_deepspeed_file(*this);
  check_no_contradiction(*this);
  settle_warmup(*this);
  if (data_seed.typed()) spec.train.data_seed = data_seed.value;
  spec.model = model;
  spec.output_dir = output_dir;
  spec.data_path = data_path;
  spec.init_adapter = init_adapter;
  spec.attention = nn::attention_kind_from_name(attention, "--attention");
  HICI_CHECK_USAGE(spec.attention != nn::AttentionKind::kDca,
                   "--attention: dca is for evaluation and has no backward pass; use hici, full or s2");
  check_streaming(*this);
  spec.activation_policy = activations.resolve();
  spec.base_format = base_format.resolve(spec.trainable.low_rank);
  spec.trainable.name_parts = split_at_commas(trainable_params.value);
  spec.copy_attention_init = spec.copy_attention_init || use_attn_init.value;
  if (save_strategy == "no") spec.train.save_steps = 0;
  spec.evaluation = evaluation.resolve(spec.train.save_steps);
  spec.train.validate();
  spec.lora.targets = target_modules(lora_target_modules.value);
  spec.lora.rank_pattern = config::parse_rank_pattern(lora_rank_pattern.value, "--lora_rank_pattern");
  spec.lora.validate();
  optim::make_schedule(spec.train, 1);  // what it does not take is an error here, before anything is written
  spec.sharding = sharding.resolve();
  HICI_CHECK_USAGE(spec.trainable.low_rank || !spec.sharding.moves_frozen(),
                   spec.sharding.offload_weights ? "--offload weights" : "--shard full",
                   ": nothing is frozen with --low_rank_training False; ",
                   spec.sharding.offload_weights ? "leave it out" : "use --shard optimizer");
  if (spec.attention != nn::AttentionKind::kHici) hici.note_without_effect("--attention " + attention);
  spec.device = device.resolve_device();
  HICI_CHECK_USAGE(!full_determinism.value || !spec.device.is_cuda(), "--full_determinism: not on ", spec.device.str(),
                   ", whose backward kernels add in any order; leave it out, or use --device cpu");
  ShardingOptions::keep_on_cpu(spec.sharding, spec.device);
  spec.memory_limit = sharding.resolve_memory_limit(spec.device);
  spec.dtype = device.resolve_dtype(spec.device);
  spec.attention_backend = device.resolve_attention_backend();
  spec.sample = sample.resolve(spec);
  for (const DeclaredOption* option : OptionList{&lora_r, &lora_alpha, &use_rslora, &lora_target_modules,
                                                 &lora_rank_pattern, &use_llama_init, &add_pad_token}) {
    if (option->typed()) spec.typed_start_options.insert(option->key());
  }
  if (use_attn_init.typed()) spec.typed_start_options.insert(use_llama_init.key());
  spec.effective_options = [app = declared_in, decided](std::map<std::string, std::string> in_force) {
    in_force.insert(decided.begin(), decided.end());
    return effective_options(*app, in_force);
  };
}

}  // namespace hici::commands
