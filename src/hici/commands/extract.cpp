// SPDX-License-Identifier: Apache-2.0
// `hici extract`: the pair of an adapter from a full dump or from another form of adapter.
#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/option.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/option_values.h"
#include "hici/io/extract.h"

#include <memory>
#include <optional>

namespace hici::commands {
namespace {

struct ExtractOptions {
  std::string checkpoint_path;
  std::string trainable_params;
  std::string output_dir;
  std::string format = "safetensors";
  Option<double> lora_alpha{0};
};

int run_extract(const ExtractOptions& o) {
  io::ExtractRequest request;
  request.checkpoint = o.checkpoint_path;
  request.output = o.output_dir;
  request.trainable_parts = split_at_commas(o.trainable_params);
  request.format = parse_enum<io::AdapterFormat>(o.format, "--format");
  if (o.lora_alpha.typed()) {
    HICI_CHECK_USAGE(o.lora_alpha.value >= config::kMinLoraAlpha, "--lora_alpha: ", o.lora_alpha.value,
                     " is no scale; use ", config::kMinLoraAlpha, " or more, such as 16");
    request.lora_alpha = o.lora_alpha.value;
  }
  check_new_folder(o.output_dir, {{o.checkpoint_path, "--checkpoint_path"}});
  const StopSignals signals;
  std::optional<Progress> progress;
  request.progress = [&](uint64_t total, uint64_t done) {
    if (!progress)
      progress.emplace("extracting", static_cast<int64_t>(total), ProgressUnit::kBytes, std::chrono::seconds(1));
    progress->update(static_cast<int64_t>(done));
    check_stop("; nothing was written");
  };
  const io::ExtractResult result = io::extract_adapter(request);
  progress.reset();
  write_stdout(detail::concat(result.directory.string(), ": ", result.lora_tensors, " LoRA factors (rank ",
                              result.lora.rank, ", alpha ", result.lora.alpha, ") and ", result.trainables,
                              " whole parameters, ", human_bytes(static_cast<int64_t>(result.bytes)), "\n"));
  if (result.has_hici_modules && !result.has_settings)
    log_info(result.directory.string(),
             ": no hici_config.json, for heads, segments, causal mode and context are in no tensor; give --num_heads, "
             "--num_chunks, --causal_mode and --context_size where they are not the defaults");
  return 0;
}

}  // namespace

CommandEntry extract_command() {
  return {
      "extract", "Make adapter_model and trainable_params from a full dump or another form of adapter",
      [](CLI::App& app) -> Runner {
        auto o = std::make_shared<ExtractOptions>();
        add_option(
            app, "checkpoint_path", o->checkpoint_path,
            "Checkpoint with a full dump (pytorch_model.bin) or of DeepSpeed (global_stepN), adapter, or run directory")
            ->required();
        add_option(app, "trainable_params", o->trainable_params,
                   "Whole parameters to take, by parts of their names, such as embed,norm,hici (hici: both HiCI "
                   "modules); default: of a full dump embedding, norms and HiCI modules, else all that are there");
        add_option(app, "output_dir", o->output_dir, "New directory for the files; default: --checkpoint_path");
        with_choices_of<io::AdapterFormat>(
            add_option(app, "format", o->format, "safetensors, or bin: torch.save's files, for the research code"));
        add_option(app, "lora_alpha", o->lora_alpha,
                   "Scale of LoRA times its rank, for a full dump without adapter_config.json; 0: not given",
                   {0, config::kMaxLoraAlpha});
        return [o] { return run_extract(*o); };
      }};
}

}  // namespace hici::commands
