// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/trainer_options.h"

#include "hici/base/error.h"
#include "hici/base/joined.h"
#include "hici/base/json.h"
#include "hici/commands/command.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

namespace hici::commands {
namespace {

struct Inherited {
  const char* name;
  const char* reason;
};

// Whatever their value.
constexpr Inherited kWithoutMeaning[] = {
    {"per_device_eval_batch_size", "nothing is evaluated during training"},
    {"eval_accumulation_steps", "nothing is evaluated during training"},
    {"eval_steps", "nothing is evaluated during training"},
    {"report_to", "metrics.jsonl and a TensorBoard event file are always written"},
    {"logging_dir", "the event file lies in --output_dir"},
    {"run_name", "a run is called by its --output_dir"},
    {"disable_tqdm", "the progress line paces itself"},
    {"ddp_timeout", "a process that dies or hangs ends the others within seconds"},
    {"ddp_find_unused_parameters", "every process sums all gradients"},
    {"ddp_bucket_cap_mb", "gradients are summed in one piece"},
    {"dataloader_num_workers", "the next batch is read beside the step by itself"},
    {"dataloader_pin_memory", "batches lie in pinned memory where that helps"},
    {"remove_unused_columns", "columns that are not used are not read"},
    {"save_safetensors", "checkpoints are safetensors files"},
    {"local_rank", "the launcher's environment says which process this is"},
    {"use_flash_plus", "the fastest exact attention of the device is taken by itself"},
};

struct OneMeaning {
  const char* name;
  std::vector<std::string> values;  // in lower case; the first is shown
  const char* reason;               // why these have no effect
  const char* otherwise;            // the way to have what another value asks for
};

const std::vector<OneMeaning>& options_of_one_meaning() {
  static const std::vector<OneMeaning> options = {
      {"evaluation_strategy",
       {"no", "false"},
       "nothing is evaluated during training",
       "run hici eval ppl on the checkpoints"},
      {"eval_strategy",
       {"no", "false"},
       "nothing is evaluated during training",
       "run hici eval ppl on the checkpoints"},
      {"logging_strategy", {"steps"}, "--logging_steps says how often", "use --logging_steps"},
      {"optim",
       {"adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused"},
       "the optimizer is AdamW",
       "there is no other optimizer"},
      {"fp16", {"false"}, "--dtype says the type", "use --dtype bfloat16"},
      {"half_precision_backend", {"auto", "cuda_amp"}, "--dtype says the type", "leave it out"},
      {"use_yarn_rope",
       {"false"},
       "config.json and --model_max_length say the rotary embedding",
       "give a model whose config.json has rope_scaling of type yarn"},
      {"use_full_attn", {"false"}, "--attention says the kind", "use --attention full"},
      {"group_by_length", {"false"}, "examples come in the order of --shuffle", "leave it out"},
      {"load_best_model_at_end", {"false"}, "nothing is evaluated during training", "leave it out"},
      {"lora_dropout", {"0", "0.0", "0."}, "hici trains without dropout", "leave it out"},
      {"model_type", {"llama", "qwen3"}, "config.json says the family", "models of these families are supported"},
  };
  return options;
}

std::string in_lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

void add_trainer_options(CLI::App& app) {
  for (const Inherited& option : kWithoutMeaning) add_inherited(app, option.name, option.reason);
  for (const OneMeaning& option : options_of_one_meaning()) add_inherited(app, option.name, option.reason);
}

void check_trainer_options(const CLI::App& app) {
  for (const OneMeaning& option : options_of_one_meaning()) {
    const CLI::Option* found = app.get_option_no_throw(std::string("--").append(option.name));
    if (found == nullptr || found->count() == 0) continue;
    const std::string value = found->results().empty() ? "" : found->results().front();
    const bool is_neutral =
        std::find(option.values.begin(), option.values.end(), in_lower_case(value)) != option.values.end();
    HICI_CHECK_USAGE(is_neutral, "--", option.name, ": ", value.empty() ? "True" : printable(value),
                     " is not supported; supported: ", joined(option.values), "; ", option.otherwise);
  }
}

}  // namespace hici::commands
