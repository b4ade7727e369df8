// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/deepspeed_file.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/base/lower_case.h"
#include "hici/base/usage_errors.h"
#include "hici/commands/options/deepspeed_keys.h"
#include "hici/commands/options/range.h"

#include <algorithm>
#include <initializer_list>

namespace hici::commands {
namespace {

constexpr size_t kMaxDeepSpeedBytes = size_t{1} << 20;
constexpr int64_t kMaxStage = 3;

std::optional<int64_t> whole_if_said(const JsonObject& object, const std::string& key, const Range<int64_t>& range) {
  if (!is_said(object, key)) return std::nullopt;
  return object.integer(key, range.low, range.high);
}

std::optional<double> number_if_said(const JsonObject& object, const std::string& key, const Range<double>& range) {
  if (!is_said(object, key)) return std::nullopt;
  const double value = object.number(key);
  HICI_CHECK_USAGE(range.has(value), object.subject(), ": ", key, " is ", shown_json(object.at(key)), ", expected ",
                   range.low, " to ", range.high);
  return value;
}

std::optional<bool> truth_if_said(const JsonObject& object, const std::string& key) {
  if (!is_said(object, key)) return std::nullopt;
  return object.boolean_or(key, false);
}

// Of offload_param or offload_optimizer: whether the host has it.
std::optional<bool> offload_of_section(const JsonObject& zero, const std::string& key, DeepspeedSettings& settings) {
  if (!is_said(zero, key)) return std::nullopt;
  const JsonObject section = zero.object(key);
  check_deepspeed_keys(section, deepspeed_offload_keys(), settings.without_meaning);
  if (!is_said(section, "device")) return std::nullopt;
  const std::string device = section.string("device");
  HICI_CHECK_USAGE(device != "nvme", section.subject(),
                   ": device nvme: hici cannot offload to disks; use cpu, or none");
  HICI_CHECK_USAGE(device == "cpu" || device == "none", section.subject(), ": device is '", printable(device, 30),
                   "'; use cpu or none");
  const double ratio = number_if_said(section, "ratio", {0, 1}).value_or(1);
  HICI_CHECK_USAGE(device == "none" || ratio == 1, section.subject(), ": ratio ", ratio,
                   ": hici offloads all or nothing; remove it");
  return device == "cpu";
}

// `old` are names of earlier releases, plain booleans.
std::optional<bool> offload_of(const JsonObject& zero, const std::string& key, std::initializer_list<const char*> old,
                               DeepspeedSettings& settings) {
  std::optional<bool> found = offload_of_section(zero, key, settings);
  std::string by = key;
  for (const char* name : old) {
    const std::optional<bool> flag = truth_if_said(zero, name);
    if (!flag) continue;
    HICI_CHECK_USAGE(!found || *found == *flag, zero.subject(), ": ", name, " contradicts ", by,
                     "; remove one of them");
    found = flag;
    by = name;
  }
  return found;
}

// Only stage 3 has groups.
void read_group_size(const JsonObject& zero, DeepspeedSettings& settings) {
  const std::optional<int64_t> hpz = whole_if_said(zero, "zero_hpz_partition_size", kFromZero);
  const std::optional<int64_t> mics = whole_if_said(zero, "mics_shard_size", {-1, config::kMaxCount});
  const bool is_full = settings.shard == config::ShardKind::kFull;
  const bool by_hpz = is_full && hpz.value_or(1) > 1, by_mics = is_full && mics.value_or(-1) > 0;
  HICI_CHECK_USAGE(!by_hpz || !by_mics || hpz == mics, zero.subject(), ": mics_shard_size contradicts ",
                   "zero_hpz_partition_size; remove one of them");
  if (by_hpz || by_mics) settings.shard_group_size = by_hpz ? hpz : mics;
  if (hpz && !by_hpz) settings.without_meaning.emplace("zero_hpz_partition_size");
  if (mics && !by_mics) settings.without_meaning.emplace("mics_shard_size");
}

void read_zero(const JsonObject& config, DeepspeedSettings& settings) {
  using enum config::ShardKind;
  if (!is_said(config, "zero_optimization")) return;
  if (config.at("zero_optimization").is_boolean()) {  // how the first releases had it: stage 1 or none
    settings.shard = config.boolean_or("zero_optimization", false) ? kOptimizer : kNone;
    return;
  }
  const JsonObject zero = config.object("zero_optimization");
  check_deepspeed_keys(zero, deepspeed_zero_keys(), settings.without_meaning);
  const std::optional<int64_t> stage = whole_if_said(zero, "stage", {0, kMaxStage});
  if (stage) settings.shard = *stage == 0 ? kNone : *stage == kMaxStage ? kFull : kOptimizer;
  settings.offload_weights = offload_of(zero, "offload_param", {"cpu_offload_param", "cpu_offload_params"}, settings);
  settings.offload_optimizer = offload_of(zero, "offload_optimizer", {"cpu_offload"}, settings);
  HICI_CHECK_USAGE(!settings.offload_weights.value_or(false) || stage == kMaxStage, zero.subject(),
                   ": offload_param needs stage 3; write that, or remove it and type --offload weights");
  HICI_CHECK_USAGE(!settings.offload_optimizer.value_or(false) || stage.value_or(0) > 0, zero.subject(),
                   ": offload_optimizer needs stage 1, 2 or 3; write one, or remove it and type --offload optimizer");
  read_group_size(zero, settings);
}

void read_types(const JsonObject& config, DeepspeedSettings& settings) {
  const bool has_old_name = is_said(config, "bfloat16");
  HICI_CHECK_USAGE(!has_old_name || !is_said(config, "bf16"), config.subject(),
                   ": bfloat16 and bf16 are two names of one section; remove bfloat16");
  const std::string name = has_old_name ? "bfloat16" : "bf16";
  if (is_said(config, name)) {
    const JsonObject section = config.object(name);
    check_deepspeed_keys(section, deepspeed_bf16_keys(), settings.without_meaning);
    settings.bf16 = truth_if_said(section, "enabled");
  }
  if (is_said(config, "data_types"))
    check_deepspeed_keys(config.object("data_types"), deepspeed_types_keys(), settings.without_meaning);
  if (!is_said(config, "gradient_allreduce_op")) return;
  HICI_CHECK_USAGE(config.string("gradient_allreduce_op") == "mean", config.subject(),
                   ": gradient_allreduce_op: hici trains with the mean over all processes; write mean, or remove it");
  settings.without_meaning.emplace("gradient_allreduce_op");
}

void check_true(const JsonObject& params, const std::string& key) {
  HICI_CHECK_USAGE(truth_if_said(params, key).value_or(true), params.subject(), ": ", key,
                   " is false, which hici's AdamW cannot do; write true, or remove it");
}

void read_betas(const JsonObject& params, DeepspeedSettings& settings) {
  if (!is_said(params, "betas")) return;
  const nlohmann::json& betas = params.at("betas");
  const bool all_auto = betas.is_array() && !betas.empty() &&
                        std::all_of(betas.begin(), betas.end(), [](const auto& beta) { return beta == "auto"; });
  if (all_auto) return;
  const bool is_pair =
      betas.is_array() && betas.size() == 2 && std::all_of(betas.begin(), betas.end(), [](const auto& beta) {
        return beta.is_number() && beta.template get<double>() >= 0 && beta.template get<double>() < 1;
      });
  HICI_CHECK_USAGE(is_pair, params.subject(), ": betas is ", shown_json(betas),
                   ", expected two numbers of 0 to below 1; write [0.9, 0.999] or \"auto\"");
  settings.adam_beta1 = betas[0].get<double>();
  settings.adam_beta2 = betas[1].get<double>();
}

void read_optimizer(const JsonObject& config, DeepspeedSettings& settings) {
  if (!is_said(config, "optimizer")) return;
  const JsonObject optimizer = config.object("optimizer");
  if (optimizer.value().empty()) return;
  check_deepspeed_keys(optimizer, deepspeed_optimizer_keys(), settings.without_meaning);
  HICI_CHECK_USAGE(optimizer.has("type"), optimizer.subject(),
                   ": has no type, and DeepSpeed would ignore it; write AdamW, or remove it");
  const std::string type = in_lower_case(optimizer.string("type"));
  HICI_CHECK_USAGE(type == "adamw" || type == "adam", optimizer.subject(), ": type is '",
                   printable(optimizer.string("type"), 30),
                   "', hici trains with AdamW; write that, or remove the section");
  if (!is_said(optimizer, "params")) return;
  const JsonObject params = optimizer.object("params");
  check_deepspeed_keys(params, deepspeed_adam_keys(), settings.without_meaning);
  if (type == "adam") check_true(params, "adam_w_mode");  // of AdamW, DeepSpeed does not look at it
  check_true(params, "bias_correction");
  check_true(params, "fp32_optimizer_states");
  read_betas(params, settings);
  settings.adam_epsilon = number_if_said(params, "eps", {0, config::kMaxAdamEpsilon});
  settings.learning_rate = number_if_said(params, "lr", {0, config::kMaxLearningRate});
  settings.weight_decay = number_if_said(params, "weight_decay", {0, config::kMaxWeightDecay});
}

// None of DeepSpeed's schedules has the numbers of one of ours: each is a step behind, as its first two steps are made
// at the lowest rate, and the usual warm-up goes by the logarithm.
void refuse_scheduler(const JsonObject& config) {
  if (!is_said(config, "scheduler")) return;
  const JsonObject scheduler = config.object("scheduler");
  if (!scheduler.has("type")) return;  // as in DeepSpeed
  const std::string type = scheduler.string("type");
  const std::string ours = type == "WarmupLR"         ? "constant_with_warmup"
                           : type == "WarmupDecayLR"  ? "linear"
                           : type == "WarmupCosineLR" ? "cosine"
                                                      : "constant, constant_with_warmup, linear, cosine or another";
  detail::throw_usage_error(scheduler.subject() + ": type " + printable(type, 30) +
                            ": its rates are not those of any schedule here; remove the section, and type "
                            "--lr_scheduler_type " +
                            ours + " and --warmup_steps");
}

DeepspeedSettings settings_of(const JsonObject& config) {
  DeepspeedSettings settings;
  check_deepspeed_keys(config, deepspeed_top_keys(), settings.without_meaning);
  read_zero(config, settings);
  read_types(config, settings);
  read_optimizer(config, settings);
  refuse_scheduler(config);
  settings.batch_size = whole_if_said(config, "train_batch_size", kFromOne);
  settings.micro_batch_size = whole_if_said(config, "train_micro_batch_size_per_gpu", kBatch);
  settings.accumulation_steps = whole_if_said(config, "gradient_accumulation_steps", kBatch);
  settings.max_grad_norm = number_if_said(config, "gradient_clipping", {0, config::kMaxGradNorm});
  return settings;
}

}  // namespace

DeepspeedSettings parse_deepspeed(const std::string& text, const std::string& subject) {
  return with_usage_errors("", [&] {
    const nlohmann::json config = parse_json(text, subject, kMaxDeepSpeedBytes);
    return settings_of(JsonObject(config, subject));
  });
}

DeepspeedSettings read_deepspeed_file(const std::filesystem::path& file) {
  std::error_code unreadable;
  HICI_CHECK_USAGE(std::filesystem::exists(file, unreadable), "--deepspeed: ", file.string(),
                   ": is not there; leave the option out, --shard optimizer is what several processes do without it");
  const std::string text = with_usage_errors("--deepspeed: ", [&] { return read_file(file, kMaxDeepSpeedBytes); });
  return parse_deepspeed(text, "--deepspeed: " + file.string());
}

}  // namespace hici::commands
