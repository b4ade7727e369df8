// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/deepspeed_options.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/commands/options/option_values.h"
#include "hici/commands/options/training_options.h"

#include <algorithm>

namespace hici::commands {
namespace {

std::string as_typed(const std::string& value) { return value; }
std::string as_typed(int64_t value) { return std::to_string(value); }
std::string as_typed(double value) { return shortest_number(value); }
std::string as_typed(bool value) { return value ? "True" : "False"; }

class Application {
 public:
  Application(const DeepspeedSettings& settings, int64_t data_processes, TrainingOptions& options)
      : said_(settings), data_processes_(data_processes), o_(options) {}

  std::map<std::string, std::string> run() {
    take_sharding();
    take("gradient_clipping", o_.max_grad_norm, said_.max_grad_norm);
    take("optimizer: params: lr", o_.learning_rate, said_.learning_rate);
    take("optimizer: params: weight_decay", o_.weight_decay, said_.weight_decay);
    take("optimizer: params: betas: the first,", o_.adam_beta1, said_.adam_beta1);
    take("optimizer: params: betas: the second,", o_.adam_beta2, said_.adam_beta2);
    take("optimizer: params: eps", o_.adam_epsilon, said_.adam_epsilon);
    take_batch();
    take_type();
    return std::move(decided_);
  }

 private:
  [[noreturn]] void contradicts(const std::string& key, const std::string& value, const std::string& option) {
    detail::throw_usage_error("--deepspeed: " + o_.deepspeed + ": " + key + " " + value + " contradicts " + option +
                              "; leave the option out, or write \"auto\" in the file");
  }

  template <typename T, typename V>
  void decide(Option<T>& option, const V& value) {
    option.value = value;
    decided_[option.key()] = as_typed(value);
  }

  template <typename T, typename V>
  void take(const std::string& key, Option<T>& option, const std::optional<V>& said) {
    if (!said) return;
    if (!option.typed()) return decide(option, *said);
    if (option.value != *said) contradicts(key, as_typed(*said), option.name() + " " + as_typed(option.value));
  }

  // A file without zero_optimization is one of stage 0.
  void take_sharding() {
    ShardingOptions& sharding = o_.sharding;
    const std::string kind = name_of(said_.shard.value_or(config::ShardKind::kNone));
    if (!sharding.shard.typed()) {
      decide(sharding.shard, kind);
    } else if (said_.shard && sharding.shard.value != kind) {
      contradicts("zero_optimization", "(--shard " + kind + ")", "--shard " + sharding.shard.value);
    }
    take("zero_optimization: groups of", sharding.group_size, said_.shard_group_size);
    take_offload("offload_param", "weights", said_.offload_weights);
    take_offload("offload_optimizer", "optimizer", said_.offload_optimizer);
  }

  void take_offload(const std::string& key, const std::string& item, std::optional<bool> said) {
    Option<std::vector<std::string>>& offload = o_.sharding.offload;
    if (!said) return;
    if (offload.typed()) {
      const std::vector<std::string> typed = list_items(offload.value, offload.name());
      const bool is_typed = std::find(typed.begin(), typed.end(), item) != typed.end();
      if (is_typed != *said)
        contradicts("zero_optimization: " + key + " to", *said ? "cpu" : "none",
                    offload.name() + (is_typed ? " " : " without ") + item);
    } else if (*said) {
      offload.value.push_back(item);
      std::string& list = decided_[offload.key()];
      list += (list.empty() ? "" : ",") + item;
    }
  }

  // DeepSpeed's arithmetic: what is not known follows from the other two; without both, one micro-batch makes a step.
  void take_batch() {
    take("train_micro_batch_size_per_gpu", o_.batch_size, said_.micro_batch_size);
    take("gradient_accumulation_steps", o_.accumulation_steps, said_.accumulation_steps);
    if (!said_.batch_size) return;
    const bool has_micro = said_.micro_batch_size || o_.batch_size.typed();
    const bool has_accumulation = said_.accumulation_steps || o_.accumulation_steps.typed();
    HICI_CHECK_USAGE(*said_.batch_size % data_processes_ == 0, "--deepspeed: ", o_.deepspeed, ": train_batch_size ",
                     *said_.batch_size, " is no multiple of the ", data_processes_,
                     " processes side by side; correct it, or write \"auto\" in the file");
    const int64_t of_process = *said_.batch_size / data_processes_;
    if (!has_micro) follow(o_.batch_size, has_accumulation ? of_process / o_.accumulation_steps.value : of_process);
    if (!has_accumulation) follow(o_.accumulation_steps, has_micro ? of_process / o_.batch_size.value : 1);
    const int64_t product = o_.batch_size.value * o_.accumulation_steps.value;  // both within kBatch
    const bool is_equal = *said_.batch_size % product == 0 && *said_.batch_size / product == data_processes_;
    HICI_CHECK_USAGE(is_equal, "--deepspeed: ", o_.deepspeed, ": train_batch_size ", *said_.batch_size, " is not ",
                     o_.batch_size.name(), " ", o_.batch_size.value, " x ", o_.accumulation_steps.name(), " ",
                     o_.accumulation_steps.value, " x ", data_processes_,
                     data_processes_ == 1 ? " process" : " processes side by side",
                     "; correct one of them, or write \"auto\" in the file");
  }

  void follow(Option<int64_t&>& option, int64_t value) {
    HICI_CHECK_USAGE(value <= kBatch.high, "--deepspeed: ", o_.deepspeed, ": train_batch_size ", *said_.batch_size,
                     " makes ", option.name(), " ", value, ", more than ", kBatch.high, "; correct it");
    decide(option, std::max<int64_t>(1, value));
  }

  void take_type() {
    if (!said_.bf16) return;
    DeviceOptions& device = o_.device;
    const std::string dtype = "--dtype " + device.dtype;
    if (!*said_.bf16) {
      if (device.bf16.value) contradicts("bf16: enabled", "false", "--bf16 True");
      if (device.dtype == "bfloat16") contradicts("bf16: enabled", "false", dtype);
      if (device.dtype == "auto") device.dtype = decided_["dtype"] = "float32";
      return;
    }
    if (device.dtype != "auto" && device.dtype != "bfloat16") contradicts("bf16: enabled", "true", dtype);
    take("bf16: enabled", device.bf16, said_.bf16);
  }

  const DeepspeedSettings& said_;
  int64_t data_processes_;
  TrainingOptions& o_;
  std::map<std::string, std::string> decided_;
};

}  // namespace

std::map<std::string, std::string> apply_deepspeed(const DeepspeedSettings& settings, int64_t data_processes,
                                                   TrainingOptions& options) {
  return Application(settings, data_processes, options).run();
}

}  // namespace hici::commands
