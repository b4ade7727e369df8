// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/option_groups.h"

#include <map>
#include <utility>

namespace hici::commands {
namespace {

constexpr const char* kOther = "Other";

using Group = std::pair<std::string, std::vector<std::string>>;

// The one place that decides.
const std::vector<Group>& groups() {
  static const std::vector<Group> all{
      {"Model",
       {"model_name_or_path",
        "base_model",
        "peft_model",
        "model",
        "model_path",
        "tokenizer",
        "init_adapter",
        "pretrained_hici_path",
        "checkpoint_path",
        "path",
        "context_size",
        "pretraining_length",
        "dca_local_window",
        "dca_mscale",
        "attention",
        "eval_mode",
        "cache_slots",
        "add_pad_token",
        "family",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
        "rope_theta",
        "rms_norm_eps",
        "tie_word_embeddings"}},
      {"Data",
       {"data_path",
        "split",
        "text_field",
        "token_type",
        "text_file",
        "prompt_style",
        "chat_template",
        "max_samples",
        "packing",
        "model_max_length",
        "max_seq_length",
        "seq_len",
        "sliding_window",
        "rolling",
        "prefix_token_id",
        "limit_tokens",
        "shuffle",
        "testcases",
        "longbench_dir",
        "datasets",
        "e",
        "code_ratio",
        "max_length",
        "max_tokens",
        "interval",
        "num_tests",
        "prompt",
        "prompt_file",
        "batch_file",
        "material",
        "question",
        "chat",
        "system",
        "truncate",
        "runs",
        "folders",
        "paths",
        "add_special_tokens",
        "add_bos",
        "add_eos",
        "min_frequency",
        "bos_token",
        "eos_token",
        "pad_token",
        "add_bos_token"}},
      {"HiCI", {"num_chunks",        "segment_length",        "sft_segment_length",    "stream_segments",
                "segment_parallel",  "num_local_slots",       "global_slots",          "num_heads",
                "use_bottleneck",    "bottleneck_dim",        "compress_dim",          "shared_compress_dim",
                "shared_compressor", "use_local_constructor", "use_global_integrator", "use_hierarchical_forward",
                "causal_mode",       "use_llama_init",        "use_attn_init",         "with_hici",
                "prefix_slots"}},
      {"Optimisation",
       {"low_rank_training",
        "trainable_params",
        "lora_r",
        "lora_alpha",
        "use_rslora",
        "lora_target_modules",
        "lora_rank_pattern",
        "lora_dropout",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "max_steps",
        "num_train_epochs",
        "learning_rate",
        "hici_lr",
        "weight_decay",
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "warmup_steps",
        "warmup_ratio",
        "lr_scheduler_type",
        "lr_scheduler_kwargs",
        "max_grad_norm",
        "hici_grad_clip",
        "max_nonfinite_steps",
        "seed",
        "data_seed",
        "with_optimizer",
        "shard",
        "shard_group_size",
        "offload",
        "memory_limit"}},
      {"Answers",
       {"max_new_tokens", "min_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "stop", "stop_token",
        "ignore_eos", "skip_special_tokens", "return_ids", "num_return", "judge", "judge_url", "judge_model",
        "judge_rate", "judge_retries", "judge_backoff", "judge_timeout"}},
      {"Output",
       {"output_dir",
        "output",
        "save_path",
        "overwrite",
        "overwrite_output_dir",
        "resume_from_checkpoint",
        "allow_changes_on_resume",
        "resume",
        "logging_steps",
        "save_strategy",
        "save_steps",
        "save_total_limit",
        "label",
        "suffix",
        "figure",
        "figures",
        "map_layer",
        "map_head",
        "map_segment",
        "map_window",
        "title",
        "csv",
        "latex",
        "table",
        "tensors",
        "json",
        "torch_dtype",
        "max_shard_size",
        "format"}},
      {"Device",
       {"dtype", "device", "bf16", "attention_backend", "activation_policy", "gradient_checkpointing", "fp8_base",
        "batch_size", "prefill_chunk", "record_graph", "num_threads", "memory", "processes", "link_gbps",
        "group_link_gbps", "host_gbps", "bytes", "gpu_tflops", "deepspeed"}},
      {"Measurement", {"repetitions", "warmup", "pause_ms", "parts", "trace", "tokens", "new_tokens"}},
      {kOther, {}},
      {"General", {"config", "help"}},
      {"Of other programs", {}}};
  return all;
}

}  // namespace

const std::vector<std::string>& option_group_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Group& group : groups()) all.push_back(group.first);
    return all;
  }();
  return names;
}

const std::string& option_group(const std::string& name) {
  static const std::map<std::string, std::string> by_name = [] {
    std::map<std::string, std::string> map;
    for (const Group& group : groups())
      for (const std::string& option : group.second) map[option] = group.first;
    map[""] = kOther;
    return map;
  }();
  const auto found = by_name.find(name);
  return found == by_name.end() ? by_name.at("") : found->second;
}

}  // namespace hici::commands
