// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/trainer_options.h"

#include "hici/commands/command.h"
#include "hici/commands/options/foreign_options.h"

#include <string>
#include <vector>

namespace hici::commands {
namespace {

constexpr const char* kBest = "the best checkpoint is that of the lowest evaluation loss";
constexpr const char* kEvalType = "an evaluation has the type of training, --dtype";
constexpr const char* kEvaluate = "run hici eval ppl on the checkpoints";
constexpr const char* kRecords = "metrics.jsonl and a TensorBoard event file are always written";
constexpr const char* kNoUpload = "nothing is uploaded";
constexpr const char* kBatches = "the next batch is read beside the step by itself";
constexpr const char* kOwnKernels = "kernels are compiled already, and the fastest of the device are taken";
constexpr const char* kLeaveOut = "leave it out";

struct WithoutMeaning {
  std::vector<const char*> names;
  const char* reason;
};

// Whatever their value.
const std::vector<WithoutMeaning>& options_without_meaning() {
  static const std::vector<WithoutMeaning> options = {
      {{"eval_accumulation_steps", "eval_do_concat_batches", "eval_use_gather_object", "prediction_loss_only",
        "include_for_metrics", "include_inputs_for_metrics", "batch_eval_metrics"},
       "an evaluation gives the loss, and keeps its sum alone"},
      {{"label_names"}, "labels are those of the data"},
      {{"report_to", "project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"}, kRecords},
      {{"include_num_input_tokens_seen", "include_tokens_per_second", "skip_memory_metrics"},
       "metrics.jsonl always has tokens, speed and memory"},
      {{"logging_dir"}, "the event file lies in --output_dir"},
      {{"logging_first_step"}, "--logging_steps says how often"},
      {{"logging_nan_inf_filter"}, "metrics.jsonl has every loss as it is"},
      {{"debug"}, "a loss or gradient that is not finite is always named"},
      {{"log_level", "log_level_replica", "log_on_each_node"}, "the first process tells how the run goes"},
      {{"run_name"}, "a run is called by its --output_dir"},
      {{"disable_tqdm"}, "the progress line paces itself"},
      {{"ddp_timeout"}, "a process that dies or hangs ends the others within seconds"},
      {{"ddp_find_unused_parameters", "ddp_static_graph", "ddp_broadcast_buffers"}, "every process sums all gradients"},
      {{"ddp_bucket_cap_mb"}, "gradients are summed in one piece"},
      {{"ddp_backend"}, "NCCL joins GPUs, and Gloo processes on CPUs"},
      {{"dataloader_num_workers", "dataloader_persistent_workers", "dataloader_prefetch_factor",
        "dataloader_multiprocessing_context", "dataloader_in_order"},
       kBatches},
      {{"dataloader_drop_last"},
       "no step is short: one that starts at the end of an epoch goes on in the next, and a line says what the last "
       "epoch "
       "leaves out"},
      {{"dataloader_pin_memory"}, "batches lie in pinned memory where that helps"},
      {{"remove_unused_columns"}, "columns that are not used are not read"},
      {{"length_column_name"}, "examples come in the order of --shuffle"},
      {{"save_safetensors"}, "checkpoints are safetensors files"},
      {{"save_on_each_node"}, "one process saves for all"},
      {{"enable_jit_checkpoint"}, "a stop signal always saves"},
      {{"restore_callback_states_from_checkpoint"}, "there are no callbacks"},
      {{"hub_token", "hub_model_id", "hub_strategy", "hub_private_repo", "hub_always_push", "hub_revision"}, kNoUpload},
      {{"local_rank"}, "the launcher's environment says which process this is"},
      {{"gradient_checkpointing_kwargs", "activation_checkpointing_kwargs"}, "recomputation changes no number"},
      {{"torch_compile", "torch_compile_backend", "torch_compile_mode", "use_liger_kernel", "liger_kernel_config"},
       kOwnKernels},
      {{"torch_empty_cache_steps"}, "the memory of a step is planned before the first one"},
      {{"use_cache"}, "training keeps no cache of keys and values"},
      {{"use_flash_plus"}, "the fastest exact attention of the device is taken by itself"},
      {{"recurrence_size"}, "the research code reads it and uses it nowhere"},
      {{"dataset_name"}, "nothing is downloaded, and --data_path is what is read"},
  };
  return options;
}

const std::vector<OneMeaning>& options_of_one_meaning() {
  static const std::vector<OneMeaning> options = {
      {"eval_delay", {"none", "0"}, "the first evaluation is after --eval_steps", kLeaveOut},
      {"metric_for_best_model", {"eval_loss", "loss", "none"}, kBest, kLeaveOut},
      {"greater_is_better", {"false", "none"}, kBest, kLeaveOut},
      {"bf16_full_eval", {"false"}, kEvalType, kLeaveOut},
      {"fp16_full_eval", {"false"}, kEvalType, kLeaveOut},
      {"do_train", {"true"}, "hici train and hici sft train", kEvaluate},
      {"do_predict", {"false"}, "training predicts nothing", kEvaluate},
      {"logging_strategy", {"steps"}, "--logging_steps says how often", "use --logging_steps"},
      {"optim",
       {"adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused"},
       "the optimizer is AdamW",
       "there is no other optimizer"},
      {"optim_args", {"none", ""}, "the optimizer is AdamW", "use --adam_beta1, --adam_beta2 and --adam_epsilon"},
      {"optim_target_modules", {"none"}, "the optimizer is AdamW", "there is no other optimizer"},
      {"adafactor", {"false"}, "the optimizer is AdamW", "there is no other optimizer"},
      {"fp16", {"false"}, "--dtype says the type", "use --dtype bfloat16"},
      {"half_precision_backend", {"auto", "cuda_amp"}, "--dtype says the type", kLeaveOut},
      {"use_yarn_rope",
       {"false"},
       "config.json and --model_max_length say the rotary embedding",
       "give a model whose config.json has rope_scaling of type yarn"},
      {"use_full_attn", {"false"}, "--attention says the kind", "use --attention full"},
      {"group_by_length", {"false"}, "examples come in the order of --shuffle", kLeaveOut},
      {"train_sampling_strategy", {"random"}, "--shuffle says the order", "use --shuffle False for that of the data"},
      {"label_smoothing_factor", {"0"}, "the loss is cross entropy", kLeaveOut},
      {"neftune_noise_alpha", {"none", "0"}, "embeddings get no noise", kLeaveOut},
      {"average_tokens_across_devices",
       {"true"},
       "the loss is the mean over the tokens of all processes",
       "leave it out: every token counts the same"},
      {"auto_find_batch_size", {"false"}, "--per_device_train_batch_size says it", "hici plan says what fits"},
      {"save_only_model", {"false"}, "a checkpoint can be resumed", "run hici extract on the last one"},
      {"ignore_data_skip", {"false"}, "a resumed run goes on in its data", "use --init_adapter for a fresh start"},
      {"push_to_hub", {"false"}, kNoUpload, "upload the folder yourself"},
      {"use_cpu", {"false"}, "--device says it", "use --device cpu"},
      {"no_cuda", {"false"}, "--device says it", "use --device cpu"},
      {"fsdp", {"false", "none", ""}, "--shard says what is cut", "use --shard full"},
      {"fsdp_config", {"none"}, "--shard says what is cut", "use --shard full"},
      {"accelerator_config",
       {"none"},
       "--per_device_train_batch_size and --gradient_accumulation_steps say the batch of each process",
       kLeaveOut},
      {"parallelism_config", {"none"}, "--shard and --segment_parallel say it", "use these"},
      {"model_type", {"llama", "qwen3"}, "config.json says the family", "models of these families are supported"},
  };
  return options;
}

// Trainer takes several values for these.
constexpr const char* kLists[] = {"report_to", "label_names", "include_for_metrics", "debug"};

}  // namespace

void add_trainer_options(CLI::App& app) {
  for (const WithoutMeaning& options : options_without_meaning())
    for (const char* name : options.names) add_inherited(app, name, options.reason);
  for (const char* name : kLists) app.get_option(std::string("--").append(name))->expected(0, -1);
  for (const OneMeaning& option : options_of_one_meaning()) add_one_meaning(app, option);
}

}  // namespace hici::commands
