// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/foreign_scripts.h"

#include "hici/base/error.h"
#include "hici/commands/bound_command.h"
#include "hici/commands/options/option_text.h"

#include <algorithm>
#include <sstream>

namespace hici::commands {
namespace {

using Flags = std::vector<const char*>;

Flags operator+(Flags flags, const Flags& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

const Flags& hici_flags() {
  static const Flags flags{"num_local_slots",
                           "global_slots",
                           "num_heads",
                           "use_bottleneck",
                           "bottleneck_dim",
                           "shared_compress_dim",
                           "use_local_constructor",
                           "use_global_integrator",
                           "use_hierarchical_forward",
                           "use_flash_plus",
                           "use_local_constructor_flash"};
  return flags;
}

// Of the scripts' own dataclasses.
const Flags& training_flags() {
  static const Flags flags{"model_name_or_path", "model_type",    "cache_dir",         "model_max_length",
                           "use_flash_attn",     "use_full_attn", "low_rank_training", "trainable_params"};
  return flags;
}

const Flags& hici_training_flags() {
  static const Flags flags = Flags{"num_chunks",      "use_llama_init", "use_attn_init", "use_yarn_rope",
                                   "recurrence_size", "hici_lr",        "hici_grad_clip"} +
                             hici_flags();
  return flags;
}

// TrainingArguments of transformers 4.31 to 5.24, but for those of devices and services that hici does not have.
const Flags& trainer_flags() {
  static const Flags flags{"output_dir",
                           "overwrite_output_dir",
                           "do_train",
                           "do_eval",
                           "do_predict",
                           "evaluation_strategy",
                           "eval_strategy",
                           "eval_steps",
                           "eval_delay",
                           "eval_on_start",
                           "eval_accumulation_steps",
                           "eval_do_concat_batches",
                           "eval_use_gather_object",
                           "prediction_loss_only",
                           "per_device_train_batch_size",
                           "per_device_eval_batch_size",
                           "gradient_accumulation_steps",
                           "average_tokens_across_devices",
                           "auto_find_batch_size",
                           "learning_rate",
                           "weight_decay",
                           "adam_beta1",
                           "adam_beta2",
                           "adam_epsilon",
                           "max_grad_norm",
                           "num_train_epochs",
                           "max_steps",
                           "lr_scheduler_type",
                           "lr_scheduler_kwargs",
                           "warmup_ratio",
                           "warmup_steps",
                           "optim",
                           "optim_args",
                           "optim_target_modules",
                           "adafactor",
                           "label_smoothing_factor",
                           "neftune_noise_alpha",
                           "log_level",
                           "log_level_replica",
                           "log_on_each_node",
                           "logging_dir",
                           "logging_strategy",
                           "logging_first_step",
                           "logging_steps",
                           "logging_nan_inf_filter",
                           "report_to",
                           "project",
                           "run_name",
                           "disable_tqdm",
                           "include_num_input_tokens_seen",
                           "include_tokens_per_second",
                           "include_for_metrics",
                           "include_inputs_for_metrics",
                           "batch_eval_metrics",
                           "skip_memory_metrics",
                           "save_strategy",
                           "save_steps",
                           "save_total_limit",
                           "save_safetensors",
                           "save_on_each_node",
                           "save_only_model",
                           "enable_jit_checkpoint",
                           "restore_callback_states_from_checkpoint",
                           "resume_from_checkpoint",
                           "ignore_data_skip",
                           "load_best_model_at_end",
                           "metric_for_best_model",
                           "greater_is_better",
                           "seed",
                           "data_seed",
                           "full_determinism",
                           "debug",
                           "bf16",
                           "fp16",
                           "half_precision_backend",
                           "bf16_full_eval",
                           "fp16_full_eval",
                           "tf32",
                           "gradient_checkpointing",
                           "gradient_checkpointing_kwargs",
                           "activation_checkpointing",
                           "activation_checkpointing_kwargs",
                           "torch_compile",
                           "torch_compile_backend",
                           "torch_compile_mode",
                           "torch_empty_cache_steps",
                           "use_liger_kernel",
                           "liger_kernel_config",
                           "use_cache",
                           "use_cpu",
                           "no_cuda",
                           "local_rank",
                           "ddp_backend",
                           "ddp_timeout",
                           "ddp_find_unused_parameters",
                           "ddp_static_graph",
                           "ddp_bucket_cap_mb",
                           "ddp_broadcast_buffers",
                           "deepspeed",
                           "fsdp",
                           "fsdp_config",
                           "parallelism_config",
                           "accelerator_config",
                           "dataloader_num_workers",
                           "dataloader_pin_memory",
                           "dataloader_persistent_workers",
                           "dataloader_prefetch_factor",
                           "dataloader_multiprocessing_context",
                           "dataloader_drop_last",
                           "dataloader_in_order",
                           "remove_unused_columns",
                           "label_names",
                           "group_by_length",
                           "length_column_name",
                           "train_sampling_strategy",
                           "push_to_hub",
                           "hub_model_id",
                           "hub_strategy",
                           "hub_token",
                           "hub_private_repo",
                           "hub_always_push",
                           "hub_revision"};
  return flags;
}

const Flags& window_flags() {
  static const Flags flags{"batch_size",   "base_model", "cache_dir",  "seq_len",
                           "context_size", "peft_model", "flash_attn", "data_path"};
  return flags;
}

const Flags& chat_flags() {
  static const Flags flags{"base_model",  "cache_dir", "context_size", "flash_attn",
                           "temperature", "top_p",     "max_gen_len"};
  return flags;
}

const Flags& merge_flags() {
  static const Flags flags{"base_model", "peft_model", "context_size", "save_path", "cache_dir"};
  return flags;
}

}  // namespace

const std::vector<ForeignScript>& foreign_scripts() {
  static const std::vector<ForeignScript> scripts{
      {"transformers' TrainingArguments", "train", "and `hici sft`", trainer_flags()},
      {"PEFT's LoraConfig, as scripts have it in flags",
       "train",
       "and `hici sft`",
       {"lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "use_rslora", "lora_rank_pattern"}},
      {"transformers' switches of bitsandbytes",
       "train",
       "and every command with `--base_format`",
       {"load_in_4bit", "load_in_8bit"}},
      {"HiCI: fine-tune_hici.py, fine-tune_hici_qwen3.py", "train", "with --data_path, which is fixed in the scripts",
       training_flags() + hici_training_flags()},
      {"HiCI: fine-tune_hici_sft.py", "sft", "", training_flags() + hici_training_flags() + Flags{"data_path"}},
      {"HiCI: fine-tune_hici_qwen3_sft.py", "sft", "with --data_path, a download of --dataset_name",
       training_flags() + hici_training_flags() +
           Flags{"lora_r", "lora_alpha", "dataset_name", "dataset_split", "data_path", "max_samples", "max_seq_length",
                 "pretrained_hici_path", "pretrained_memory_path", "packing"}},
      {"LongLoRA: fine-tune.py", "train", "with --attention s2, and --data_path, which is fixed in the script",
       training_flags()},
      {"LongLoRA: supervised-fine-tune.py, supervised-fine-tune-qlora.py", "sft",
       "with --attention s2 and --sft_segment_length, or --attention full; for the second --base_format nf4_double",
       training_flags() + Flags{"data_path"}},
      {"HiCI: eval_distributed_hici.py, eval_distributed_hici_qwen3.py", "eval ppl", "",
       window_flags() + hici_flags() + Flags{"eval_mode", "recurrence_size", "progress_bar_fresh_rate"}},
      {"LongLoRA: eval.py, eval_distributed.py", "eval ppl", "", window_flags() + Flags{"progress_bar_fresh_rate"}},
      {"ChunkLlama in HiCI: test_ppl_distributed.py, test_ppl_distributed_qwen3.py",
       "eval ppl",
       "with --eval_mode dca",
       {"model_path", "data_path", "seq_len", "pretraining_length", "no_chunk"}},
      {"HiCI and LongLoRA: get_trainable_weights.py", "extract", "", {"checkpoint_path", "trainable_params"}},
      {"HiCI and LongLoRA: merge_lora_weights_and_save_hf_model.py", "merge", "", merge_flags()},
      {"HiCI: merge_lora_weights_hici.py and its form for Qwen3", "merge", "with --with_hici True",
       merge_flags() + Flags{"num_local_slots", "global_slots", "num_heads", "compress_dim", "shared_compress_dim",
                             "bottleneck_dim", "use_local_constructor_flash", "use_flash_plus"}},
      {"HiCI: prepare_eval_data.py", "tokenize", "", {"model_path", "text_file", "output_dir"}},
      {"HiCI and LongLoRA: passkey_retrivial.py",
       "eval passkey",
       "",
       {"base_model", "peft_model", "cache_dir", "context_size", "flash_attn", "max_tokens", "interval", "num_tests"}},
      {"LongLoRA: inference.py, inference-qlora.py", "generate", "with --prompt_style llama2_chat",
       chat_flags() + Flags{"material", "question"}},
      {"LongEval: eval.py, also the one in HiCI",
       "eval topics",
       "and `hici eval lines`",
       {"model_name_or_path", "task", "num_gpus", "max_gpu_memory", "longchat_flash_attn", "longchat_ratio",
        "eval_shortest_only", "test_dir", "framework", "enable_longlora_flash_attn", "enable_hici_grouped_attn",
        "hici_segment_size"}},
      {"LongEval: auto_topic_eval.py", "score topics", "with --judge openai", {"test_file"}},
      {"LongBench in HiCI: pred.py, run_pred.sh",
       "eval longbench",
       "with --longbench_dir",
       {"model", "e", "use_hici_attn", "output_suffix", "ori", "suffix", "gpus"}},
      {"LongBench: eval.py", "score longbench", "", {"model", "e"}},
      {"HiCI: profile_efficiency.py",
       "bench step",
       "",
       {"model_path", "model_type", "context_lengths", "batch_size", "warmup_steps", "measure_steps", "output_dir",
        "num_local_slots", "global_slots", "num_heads", "bottleneck_dim", "compress_dim", "shared_compress_dim",
        "methods", "dtype"}},
      {"LongLoRA: demo.py", "", "a page in a browser; hici generate answers on the command line", {}},
      {"LongLoRA: run_streaming_llama_longalpaca.py",
       "",
       "StreamingLLM drops the middle of the cache; hici generate keeps all of it",
       {}},
  };
  return scripts;
}

namespace {

struct SortedFlags {
  std::string same;                                         // "`--a`, `--b`"
  std::vector<std::pair<std::string, std::string>> others;  // with what they mean here
};

SortedFlags sort_flags(const ForeignScript& script, const CLI::App& app) {
  SortedFlags sorted;
  for (const char* flag : script.flags) {
    const std::string name = detail::concat("--", flag);
    const CLI::Option* option = app.get_option_no_throw(name);
    HICI_ASSERT(option != nullptr, script.command, " has no ", name);
    if (is_inherited(*option)) {
      sorted.others.emplace_back(name, option->get_description());
    } else if (shown_name(*option) != name) {
      sorted.others.emplace_back(name, "`" + shown_name(*option) + "`");
    } else {
      sorted.same += (sorted.same.empty() ? "`" : ", `") + name + "`";
    }
  }
  return sorted;
}

void add_script(std::ostringstream& out, const ForeignScript& script) {
  const std::string note = std::string(*script.note == '\0' ? "" : ", ") + script.note;
  if (*script.command == '\0') {
    out << "\n**" << script.scripts << "**: has no command here; " << script.note << ".\n";
    return;
  }
  out << "\n**" << script.scripts << "**: `hici " << script.command << "`" << note << "\n";
  const auto& table = command_table();
  const auto entry = std::find_if(table.begin(), table.end(), [&](const auto& e) { return e.name == script.command; });
  HICI_ASSERT(entry != table.end(), script.command);
  const BoundCommand command = bind_command(*entry);
  const SortedFlags sorted = sort_flags(script, *command.app);
  if (!sorted.same.empty()) out << "\nThe same here: " << sorted.same << ".\n";
  if (sorted.others.empty()) return;
  out << "\n| flag | here |\n|---|---|\n";
  for (const auto& [name, meaning] : sorted.others) out << "| `" << name << "` | " << meaning << " |\n";
}

}  // namespace

std::string foreign_flags_markdown() {
  std::ostringstream out;
  for (const ForeignScript& script : foreign_scripts()) add_script(out, script);
  return out.str();
}

}  // namespace hici::commands
