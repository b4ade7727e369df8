// SPDX-License-Identifier: Apache-2.0
// `hici plan`: the memory of a training step, counted before anything is bought, downloaded or run.
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/bench/memory_table.h"
#include "hici/commands/commands.h"
#include "hici/commands/flag_text.h"
#include "hici/commands/options/activation_options.h"
#include "hici/commands/options/base_format_options.h"
#include "hici/commands/options/model_options.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/option_values.h"
#include "hici/commands/options/output_options.h"
#include "hici/commands/options/sharding_options.h"

#include <filesystem>
#include <memory>

namespace hici::commands {
namespace {

constexpr int64_t kMostProcesses = 65536;

struct PlanOptions {
  bench::MemoryTableSpec spec;
  std::string model = "llama2-7b";
  std::vector<std::string> lengths{"8192", "16384", "32768", "65536"};
  std::string attention = "hici";
  std::string dtype = "bfloat16";
  std::string memory = "80";
  std::string device = "cuda";
  int64_t processes = 1;
  int64_t segment_parallel = 1;
  Option<double> link_gbps{plan::kNvlinkRates.bytes_per_second * 8e-9};
  Option<double> group_link_gbps{plan::kNvlinkRates.group_bytes_per_second * 8e-9};
  Option<double> host_gbps{plan::kNvlinkRates.host_bytes_per_second * 8e-9};
  Option<double> gpu_tflops{plan::kNvlinkRates.flops_per_second * 1e-12};
  ShardingOptions sharding;
  Option<std::string> trainable_params{"embed,norm"};
  Option<int64_t&> lora_r{spec.lora.rank};
  std::string output;
  HiciOptions hici;
  ActivationOptions activations;
  BaseFormatOptions base_format;
};

void check_segment_length(const PlanOptions& o) {
  if (o.spec.segment_length == 0) return;
  HICI_CHECK_USAGE(!o.hici.num_chunks.typed(), "--segment_length: says the same as --num_chunks; give one of them");
  HICI_CHECK_USAGE(o.attention != "full", "--segment_length: has no effect with --attention full; leave it out");
}

at::ScalarType parse_training_dtype(const std::string& name) {
  HICI_CHECK_USAGE(name == "bfloat16" || name == "float32", "--dtype: '", name,
                   "' is no type that a GPU trains in; use bfloat16 or float32");
  return name == "bfloat16" ? at::kBFloat16 : at::kFloat;
}

// Without --group_link_gbps frozen weights cross the same links as everything else.
void resolve_rates(PlanOptions& o) {
  const config::Sharding& sharding = o.spec.sharding;
  const bool offloads = sharding.offload_weights || sharding.offload_optimizer;
  HICI_CHECK_USAGE(o.spec.on_gpu || !offloads, o.sharding.offload.name(),
                   ": has no effect with --device cpu; leave it out");
  const auto check = [](const DeclaredOption& option, bool has_effect, const char* way_out) {
    HICI_CHECK_USAGE(has_effect || !option.typed(), option.name(), ": has no effect without ", way_out,
                     "; leave it out");
  };
  check(o.link_gbps, o.processes > 1, "--processes");
  check(o.group_link_gbps, o.processes > 1 && sharding.kind == config::ShardKind::kFull, "--shard full");
  check(o.host_gbps, offloads, "--offload");
  check(o.gpu_tflops, offloads || o.processes > 1, "--processes or --offload");
  const double group = o.group_link_gbps.typed() || !o.link_gbps.typed() ? o.group_link_gbps.value : o.link_gbps.value;
  o.spec.rates.bytes_per_second = o.link_gbps.value * 1e9 / 8;
  o.spec.rates.group_bytes_per_second = group * 1e9 / 8;
  o.spec.rates.host_bytes_per_second = o.host_gbps.value * 1e9 / 8;
  o.spec.rates.flops_per_second = o.gpu_tflops.value * 1e12;
}

int run_plan(PlanOptions& o) {
  HICI_CHECK_USAGE(o.device == "cuda" || o.device == "cpu", "--device: unknown device '", o.device,
                   "'; use cuda or cpu");
  o.spec.on_gpu = o.device == "cuda";
  o.spec.mesh = parallel::make_mesh(o.processes, o.segment_parallel, "--segment_parallel");
  o.spec.sharding = o.sharding.resolve();
  resolve_rates(o);
  o.spec.model = bench::find_bench_model(o.model, "--model");
  o.spec.lengths = list_of_lengths(o.lengths, "--model_max_length");
  o.hici.use_where_not_typed(o.spec.model.hici);
  o.spec.model.hici = o.hici.resolve(o.spec.model.config.family, {});
  o.spec.model.hici.validate(o.spec.model.config.hidden_size);
  o.spec.attention = bench::parse_attention(o.attention, "--attention");
  check_segment_length(o);
  for (const DeclaredOption* option : OptionList{&o.lora_r, &o.trainable_params}) {
    HICI_CHECK_USAGE(o.spec.trainable.low_rank || !option->typed(), option->name(),
                     ": has no effect with --low_rank_training False, which trains everything; leave it out");
  }
  o.spec.trainable.name_parts = split_at_commas(o.trainable_params.value);
  o.spec.dtype = parse_training_dtype(o.dtype);
  o.spec.policy = o.activations.resolve();
  o.spec.base_format = o.base_format.resolve(o.spec.trainable.low_rank);
  o.spec.memory_bytes = static_cast<int64_t>(parse_memory(o.memory, "--memory"));
  o.spec.validate();
  check_output_file(o.output, read_places_of_shapes(o.model));
  const bench::MemoryTable table = bench::make_memory_table(o.spec);
  show_and_write(with_flags(table.text),
                 [&] { write_result(o.output, [&] { return with_flags(table.json.dump(1)) + "\n"; }); });
  return 0;
}

}  // namespace

CommandEntry plan_command() {
  return {"plan", "Show what a training step needs of a GPU's memory, without a GPU or weights",
          [](CLI::App& app) -> Runner {
            auto o = std::make_shared<PlanOptions>();
            add_option(app, "model", o->model, bench::model_help());
            add_option(app, "model_max_length", o->lengths, "Tokens of a training sequence, a list: 8192,16384,32768")
                ->expected(1, -1)
                ->default_str("8192,16384,32768,65536");
            add_option(app, "memory", o->memory,
                       "Memory of the GPU, in GiB unless a unit says otherwise: 80 (H100), 141GiB (H200), 24GB");
            with_choices(add_option(app, "device", o->device, "cuda: the memory of a GPU; cpu: of the process"),
                         {"cuda", "cpu"});
            add_option(app, "processes,--num_gpus", o->processes,
                       "Processes of the step, one per GPU; the plan is that of one of them", {1, kMostProcesses});
            add_option(app, "segment_parallel", o->segment_parallel, "Processes that share each sequence", kFromOne);
            o->sharding.bind(app);
            add_option(app, "link_gbps", o->link_gbps,
                       "Gbit/s that a GPU sends to others; the default is what two H200s of one host reach",
                       {0.001, 1e6});
            add_option(app, "group_link_gbps", o->group_link_gbps,
                       "The same between the processes that cut frozen weights (--shard full); default: --link_gbps",
                       {0.001, 1e6});
            add_option(app, "host_gbps", o->host_gbps, "Gbit/s between a GPU and host memory, in each direction",
                       {0.001, 1e6});
            add_option(app, "gpu_tflops", o->gpu_tflops, "TFLOP/s that the products of a step reach on the GPU",
                       {0.001, 1e6});
            with_choices(
                add_option(app, "attention", o->attention, "hici, full, s2, or segments: inside segments, no slots"),
                {"hici", "full", "s2", "segments"});
            add_option(app, "per_device_train_batch_size", o->spec.batch_size, "Sequences in one forward", kBatch);
            add_option(app, "gradient_accumulation_steps", o->spec.accumulation_steps,
                       "Forwards in one optimizer step; with several, their sum in float32 waits meanwhile", kBatch);
            with_choices(add_option(app, "dtype", o->dtype, "Type of the weights: bfloat16 or float32"),
                         {"bfloat16", "float32"});
            add_bool(app, "low_rank_training", o->spec.trainable.low_rank,
                     "LoRA and --trainable_params; False: every parameter");
            add_option(app, "trainable_params", o->trainable_params,
                       "Parts of names that are trained beside LoRA and HiCI, separated by commas");
            add_option(app, "lora_r", o->lora_r, "Rank of the adapters", {1, config::kMaxLoraRank});
            add_bool(app, "stream_segments", o->spec.stream_segments, "Work on one segment at a time");
            add_tokens(app, "segment_length", o->spec.segment_length,
                       "Tokens of a segment, instead of --num_chunks; 0: --num_chunks decides");
            o->activations.bind(app);
            o->base_format.bind(app);
            add_option(app, "output", o->output, "Write everything that was counted as JSON");
            o->hici.bind(app);
            return [o] { return run_plan(*o); };
          }};
}

}  // namespace hici::commands
