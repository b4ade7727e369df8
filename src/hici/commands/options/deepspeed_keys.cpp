// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/deepspeed_keys.h"

#include "hici/base/error.h"
#include "hici/commands/command.h"

#include <algorithm>
#include <set>
#include <vector>

namespace hici::commands {
namespace {

using enum DeepspeedRule;

constexpr DeepspeedKey kTopKeys[] = {
    {"train_batch_size", kRead},
    {"train_micro_batch_size_per_gpu", kRead},
    {"gradient_accumulation_steps", kRead},
    {"gradient_clipping", kRead},
    {"zero_optimization", kRead},
    {"bf16", kRead},
    {"bfloat16", kRead},
    {"fp16", kSection,
     "hici trains in bfloat16 or float32: write \"enabled\": false, and true for bf16 where that is meant"},
    {"optimizer", kRead},
    {"scheduler", kRead},
    {"data_types", kRead},
    {"prescale_gradients", kRounding},
    {"gradient_predivide_factor", kRounding},
    {"fp32_allreduce"},
    {"communication_data_type", kFloat32, "gradients are summed in float32: remove it"},
    {"seq_parallel_communication_data_type", kFloat32, "gradients are summed in float32: remove it"},
    {"gradient_allreduce_op", kRead},
    {"managed_gradient_accumulation"},
    {"sparse_gradients"},
    {"disable_allgather"},
    {"allgather_size"},
    {"zero_allow_untested_optimizer"},
    {"zero_force_ds_cpu_optimizer"},
    {"steps_per_print"},
    {"wall_clock_breakdown"},
    {"memory_breakdown"},
    {"dump_state"},
    {"disable_python_gc"},
    {"vocabulary_size"},
    {"log_level"},
    {"timers"},
    {"activation_checkpointing"},
    {"flops_profiler"},
    {"comms_logger"},
    {"tensorboard"},
    {"wandb"},
    {"csv_monitor"},
    {"comet"},
    {"checkpoint"},
    {"datastates_ckpt"},
    {"nebula"},
    {"aio"},
    {"compile"},
    {"graph_harvesting"},
    {"dataloader_drop_last"},
    {"use_data_before_expert_parallelism"},
    {"model_info"},
    {"amp", kSection, "use bf16"},
    {"torch_autocast", kSection, "use bf16"},
    {"sparse_attention", kPresent, "--attention says which there is; remove it"},
    {"curriculum_learning", kSection},
    {"data_efficiency", kSection},
    {"compression_training", kPresent},
    {"quantize_training", kSection},
    {"weight_quantization", kPresent, "--base_format fp8 or nf4 is what hici has; remove it"},
    {"progressive_layer_drop", kSection},
    {"eigenvalue", kSection},
    {"pipeline", kPresent},
    {"tensor_parallel", kPresent},
    {"expert_parallel", kSection},
    {"sequence_parallel_size", kOne, "use --segment_parallel"},
    {"hybrid_engine", kSection},
    {"elasticity", kSection, "the number of processes is fixed: remove it"},
    {"autotuning", kSection, "hici plan says what fits: remove it"},
};

constexpr DeepspeedKey kZeroKeys[] = {
    {"stage", kRead},
    {"offload_param", kRead},
    {"offload_optimizer", kRead},
    {"cpu_offload", kRead},
    {"cpu_offload_param", kRead},
    {"cpu_offload_params", kRead},
    {"zero_hpz_partition_size", kRead},
    {"mics_shard_size", kRead},
    {"mics_hierarchical_params_gather"},
    {"cpu_offload_use_pin_memory"},
    {"contiguous_gradients"},
    {"reduce_scatter"},
    {"reduce_bucket_size"},
    {"use_multi_rank_bucket_allreduce"},
    {"allgather_partitions"},
    {"allgather_bucket_size"},
    {"overlap_comm"},
    {"compute_grad_norm"},
    {"load_from_fp32_weights"},
    {"elastic_checkpoint"},
    {"sub_group_size"},
    {"prefetch_bucket_size"},
    {"stage3_prefetch_bucket_size"},
    {"param_persistence_threshold"},
    {"stage3_param_persistence_threshold"},
    {"model_persistence_threshold"},
    {"stage3_model_persistence_threshold"},
    {"max_live_parameters"},
    {"stage3_max_live_parameters"},
    {"max_reuse_distance"},
    {"stage3_max_reuse_distance"},
    {"gather_16bit_weights_on_model_save"},
    {"stage3_gather_16bit_weights_on_model_save"},
    {"gather_fp16_weights_on_model_save"},
    {"stage3_gather_fp16_weights_on_model_save"},
    {"module_granularity_threshold"},
    {"stage3_module_granularity_threshold"},
    {"use_all_reduce_for_fetch_params"},
    {"stage3_use_all_reduce_for_fetch_params"},
    {"allgather_sequential"},
    {"stage3_allgather_sequential"},
    {"ignore_unused_parameters"},
    {"legacy_stage1"},
    {"round_robin_gradients"},
    {"parameter_alignment"},
    {"memory_efficient_linear"},
    {"pipeline_loading_checkpoint"},
    {"override_module_apply"},
    {"log_trace_cache_warnings"},
    {"enable_sanity_checks"},
    {"save_muon_momentum_buffer_in_memory"},
    {"leaf_module"},
    {"zero_quantized_weights", kFlag},
    {"zero_quantized_nontrainable_weights", kFlag, "--base_format fp8 or nf4 is what hici has; remove it"},
    {"zero_quantized_gradients", kFlag},
    {"zeropp_loco_param", kPresent},
    {"zenflow", kPresent},
};

constexpr DeepspeedKey kOffloadKeys[] = {
    {"device", kRead}, {"ratio", kRead},  {"pin_memory"},         {"nvme_path"},     {"buffer_count"},
    {"buffer_size"},   {"max_in_cpu"},    {"fast_init"},          {"pipeline_read"}, {"pipeline_write"},
    {"pipeline"},      {"super_offload"}, {"cpuadam_cores_perc"},
};

// Those of fp16 stand in the research code's bf16 section.
constexpr DeepspeedKey kBf16Keys[] = {
    {"enabled", kRead},
    {"immediate_grad_update"},
    {"check_grad_overflow"},
    {"bf16_master_weights_and_grads", kFlag, "master weights are float32; remove it"},
    {"bf16_optimizer_states", kFlag, "moments are float32; remove it"},
    {"auto_cast"},
    {"loss_scale"},
    {"initial_scale_power"},
    {"loss_scale_window"},
    {"hysteresis"},
    {"consecutive_hysteresis"},
    {"min_loss_scale"},
};

constexpr DeepspeedKey kTypesKeys[] = {
    {"grad_accum_dtype", kFloat32, "gradients are summed in float32: remove it"},
    {"param_dtype", kPresent, "--dtype says it; remove it"},
    {"buffer_dtype", kFloat32},
    {"keep_in_fp32_modules"},
};

constexpr DeepspeedKey kOptimizerKeys[] = {{"type", kRead}, {"params", kRead}, {"legacy_fusion"}};

constexpr DeepspeedKey kAdamKeys[] = {
    {"lr", kRead},
    {"betas", kRead},
    {"eps", kRead},
    {"weight_decay", kRead},
    {"adam_w_mode", kRead},
    {"bias_correction", kRead},
    {"fp32_optimizer_states", kRead},
    {"amsgrad", kFlag},
    {"maximize", kFlag},
    {"max_grad_norm", kPresent, "DeepSpeed refuses it too; write gradient_clipping at the top"},
    {"torch_adam"},
    {"fused"},
    {"foreach"},
    {"capturable"},
    {"set_grad_none"},
};

bool is_float32(const nlohmann::json& value) {
  static const std::set<std::string> names{"fp32", "float32", "float", "torch.float32"};
  return value.is_string() && names.contains(value.get<std::string>());
}

// null, false, 0, "auto", and what holds nothing else.
bool is_off(const nlohmann::json& value) {
  if (value.is_structured())
    return std::all_of(value.begin(), value.end(), [](const auto& item) { return is_off(item); });
  return value.is_null() || value == false || value == 0 || value == "auto";
}

// Of a value that is there and not "auto".
bool is_refused(const JsonObject& object, const DeepspeedKey& key) {
  const nlohmann::json& value = object.at(key.name);
  if (key.rule == kFlag) return object.boolean_or(key.name, false);
  if (key.rule == kPresent) return !is_off(value);
  if (key.rule == kOne) return object.integer(key.name, 0, config::kMaxCount) > 1;
  if (key.rule == kFloat32) return !is_float32(value);
  if (key.rule != kSection || is_off(value)) return false;
  const JsonObject section = object.object(key.name);
  return is_said(section, "enabled") && section.boolean_or("enabled", false);
}

[[noreturn]] void fail_unknown(const JsonObject& object, const std::string& name, DeepspeedKeys known) {
  std::vector<std::string> names;
  for (const DeepspeedKey& key : known) names.emplace_back(key.name);
  const std::string near = nearest_name(name, names);
  detail::throw_usage_error(
      object.subject() + ": unknown key '" + printable(name, 60) + "'; " +
      (near.empty() ? "DeepSpeed has none of that name: remove it" : "did you mean '" + near + "'?"));
}

// What stands in the file, for a message.
std::string shown_key(const JsonObject& object, const DeepspeedKey& key) {
  if (key.rule == kSection) return std::string(key.name) + " is enabled";
  const nlohmann::json& value = object.at(key.name);
  return value.is_structured() ? key.name : key.name + (" " + shown_json(value));
}

void check_key(const JsonObject& object, const DeepspeedKey& key, std::set<std::string>& without_meaning) {
  if (key.rule == kRead) return;
  const bool is_fine = !is_said(object, key.name) || !is_refused(object, key);
  HICI_CHECK_USAGE(is_fine, object.subject(), ": ", shown_key(object, key), ": hici cannot do that; ", key.way_out);
  without_meaning.insert(std::string(key.name) + (key.rule == kRounding ? " (changes rounding alone)" : ""));
}

}  // namespace

DeepspeedKeys deepspeed_top_keys() { return kTopKeys; }
DeepspeedKeys deepspeed_zero_keys() { return kZeroKeys; }
DeepspeedKeys deepspeed_offload_keys() { return kOffloadKeys; }
DeepspeedKeys deepspeed_bf16_keys() { return kBf16Keys; }
DeepspeedKeys deepspeed_types_keys() { return kTypesKeys; }
DeepspeedKeys deepspeed_optimizer_keys() { return kOptimizerKeys; }
DeepspeedKeys deepspeed_adam_keys() { return kAdamKeys; }

bool is_said(const JsonObject& object, const std::string& key) { return object.has(key) && object.at(key) != "auto"; }

void check_deepspeed_keys(const JsonObject& object, DeepspeedKeys known, std::set<std::string>& without_meaning) {
  for (const auto& item : object.value().items()) {
    const auto key =
        std::find_if(known.begin(), known.end(), [&](const auto& each) { return item.key() == each.name; });
    if (key == known.end()) fail_unknown(object, item.key(), known);
    check_key(object, *key, without_meaning);
  }
}

}  // namespace hici::commands
