// SPDX-License-Identifier: Apache-2.0
// `hici bench step`, `decode`, `attention`, `loss` and `eval`: speed and memory of a model's shapes, on drawn weights;
// `links`: collectives.
#include "hici/base/error.h"
#include "hici/base/joined.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/process_rank.h"
#include "hici/bench/decode_bench.h"
#include "hici/bench/link_bench.h"
#include "hici/bench/model_bench.h"
#include "hici/bench/op_bench.h"
#include "hici/commands/commands.h"
#include "hici/commands/flag_text.h"
#include "hici/commands/options/activation_options.h"
#include "hici/commands/options/base_format_options.h"
#include "hici/commands/options/foreign_options.h"
#include "hici/commands/options/model_options.h"
#include "hici/commands/options/option_values.h"
#include "hici/commands/options/output_options.h"
#include "hici/commands/options/sharding_options.h"
#include "hici/train/place_weights.h"

#include <filesystem>
#include <functional>
#include <memory>

namespace hici::commands {
namespace {

struct BenchOptions {
  bench::BenchSpec spec;
  std::string model = "llama2-7b";
  std::vector<std::string> lengths{"8192"};
  std::vector<std::string> attentions{"hici"};
  std::vector<std::string> batch_sizes{"1"};  // bound by decode only
  std::string output;
  std::string csv;
  std::string latex;
  HiciOptions hici;                                       // bound by step and eval only
  ActivationOptions activations;                          // bound by step only
  BaseFormatOptions base_format;                          // bound by step, eval and decode only
  std::vector<std::string> link_bytes{"64KiB", "404MB"};  // bound by links only
  bool is_step = false;
  const CLI::App* app = nullptr;
  int64_t segment_parallel = 1;
  ShardingOptions sharding;  // bound by step only
  DeviceOptions device;
};

int show(const BenchOptions& o, const bench::BenchReport& report) {
  show_and_write(with_flags(report.text()), [&] {
    write_result(o.output, [&] { return with_flags(report.json().dump(1)) + "\n"; });
    write_result(o.csv, [&] { return report.csv(); });
    write_result(o.latex, [&] { return report.latex(); });
  });
  return report.all_failed() ? 1 : 0;
}

// Of a model directory config.json alone is read, and all of it is somebody's work.
void check_places(const BenchOptions& o) {
  const ReadPlaces inputs = read_places_of_shapes(o.model);
  for (const std::string& file : {o.output, o.csv, o.latex}) check_output_file(file, inputs);
  check_output_folder(o.spec.trace_folder);
}

void check_shares(const BenchOptions& o) {
  if (o.segment_parallel == 1) return;
  for (const nn::AttentionKind attention : o.spec.attentions)
    nn::check_stays_in_segments(attention, "--segment_parallel");
  for (const int64_t length : o.spec.lengths) {
    const int64_t segments = length / o.spec.segment_length_of(length);
    HICI_CHECK_USAGE(segments % o.segment_parallel == 0, "--segment_parallel: ", o.segment_parallel,
                     " does not divide the ", segments, " segments of ", length,
                     " tokens; use a number that does, or another --num_chunks");
  }
}

// Everything is checked before anything is measured.
void resolve_common(BenchOptions& o) {
  o.spec.model = bench::find_bench_model(o.model, "--model");
  o.spec.lengths = list_of_lengths(o.lengths, "--seq_len");
  o.spec.batch_sizes = list_of_batches(o.batch_sizes, "--batch_size");
  if (o.hici.num_chunks.is_declared()) {
    o.hici.use_where_not_typed(o.spec.model.hici);
    o.spec.model.hici = o.hici.resolve(o.spec.model.config.family, {});
    o.spec.model.hici.validate(o.spec.model.config.hidden_size);
    o.spec.attentions.clear();
    for (const std::string& name : list_items(o.attentions, "--attention")) {
      o.spec.attentions.push_back(bench::parse_attention(name, "--attention"));
    }
  }
  if (o.is_step) {
    o.spec.activation_policy = o.activations.resolve();
    o.spec.sharding = o.sharding.resolve();
  }
  if (o.base_format.base_format.is_declared()) o.spec.base_format = o.base_format.resolve();
  o.spec.validate();
  o.spec.device = o.device.resolve_device();
  ShardingOptions::keep_on_cpu(o.spec.sharding, o.spec.device);
  if (o.is_step) o.spec.memory_limit = o.sharding.resolve_memory_limit(o.spec.device);
  o.spec.dtype = o.device.resolve_dtype(o.spec.device);
  o.spec.attention_backend = o.device.resolve_attention_backend();
  const bool has_slots = std::ranges::count(o.spec.attentions, nn::AttentionKind::kHici) > 0;
  const int64_t slots = std::max(o.spec.prefix_slots, has_slots ? o.spec.model.hici.slots_per_segment() : 0);
  const std::string reason =
      ops::why_not(o.spec.attention_backend, {o.spec.device, o.spec.dtype, o.spec.model.config.head_dim, slots});
  HICI_CHECK_USAGE(reason.empty(), "--attention_backend: ", reason);
  check_places(o);
}

void add_list(CLI::App& app, const std::string& names, std::vector<std::string>& words, const std::string& help) {
  add_option(app, names, words, help)->expected(1, -1)->default_str(joined(words, ","));
}

void bind_runs_and_output(CLI::App& app, BenchOptions& o) {
  add_option(app, "repetitions,--measure_steps", o.spec.repetitions, "Timed runs of each case; medians are shown",
             kFromOne);
  add_option(app, "warmup,--warmup_steps", o.spec.warmup, "Runs before the timed ones", kFromZero);
  add_option(app, "pause_ms", o.spec.pause_ms,
             "Rest of the device before each timed run, for what a GPU does when it is not at its power limit",
             {0, 3600000});
  add_option(app, "output", o.output, "Write everything that was measured as JSON");
  add_option(app, "csv", o.csv, "Write the table as CSV");
  add_option(app, "latex", o.latex, "Write the table as a LaTeX tabular");
  o.device.bind(app);
}

void bind_common(CLI::App& app, BenchOptions& o, const std::string& length_names, const std::string& length_help) {
  add_option(app, "model,--model_path", o.model, bench::model_help());
  add_list(app, length_names, o.lengths, length_help);
  bind_runs_and_output(app, o);
}

void bind_model(CLI::App& app, BenchOptions& o) {
  bind_common(app, o, "seq_len,--context_lengths",
              "Tokens of a sequence, a list: 8192,16384,32768 (also --context_lengths)");
  add_list(app, "attention,--methods", o.attentions,
           "A list of hici, full (full_attn), s2 (longlora) and segments (inside segments, no slots: what HiCI's cost "
           "is measured against); also --methods");
  add_option(app, "batch_size", o.spec.batch_size, "Sequences in one forward", kBatch);
  o.base_format.bind(app);
  add_bool(app, "parts", o.spec.shows_parts, "Where the time goes, from one run more; False: without it");
  add_option(app, "trace", o.spec.trace_folder,
             "Folder for a timeline of each case, KIND-LENGTH.json, from one run more; ui.perfetto.dev shows them");
  o.hici.bind(app);
}

// A step of several processes, as training makes them; the first one shows the result.
int measure_with_processes(BenchOptions& o, bench::BenchReport (*measure)(const bench::BenchSpec&)) {
  HICI_CHECK_USAGE(!o.is_step || o.spec.with_optimizer || process_rank().world == 1,
                   "--with_optimizer: gradients meet where weights are updated; give it with several processes");
  check_shares(o);
  const auto work = [&](const parallel::World& world) {
    o.spec.world = &world;
    train::weight_processes(o.spec.sharding, world.size());
    const bench::BenchReport report = measure(o.spec);
    return world.is_leader() ? show(o, report) : 0;
  };
  return parallel::in_world(o.segment_parallel, o.spec.device, effective_options(*o.app), work);
}

// The command of one measurement: how its options are bound, and what runs.
CommandEntry bench_entry(const std::string& name, const std::string& summary, void (*bind)(CLI::App&, BenchOptions&),
                         bench::BenchReport (*measure)(const bench::BenchSpec&)) {
  return {"bench " + name, summary, [bind, measure](CLI::App& app) -> Runner {
            auto o = std::make_shared<BenchOptions>();
            o->app = &app;
            bind(app, *o);
            return [o, measure] {
              resolve_common(*o);
              return o->is_step ? measure_with_processes(*o, measure) : show(*o, measure(o->spec));
            };
          }};
}

void bind_step(CLI::App& app, BenchOptions& o) {
  bind_model(app, o);
  o.activations.bind(app);
  o.is_step = true;
  add_bool(app, "stream_segments", o.spec.stream_segments,
           "Segment by segment, in the memory of one; needs a causal mode other than none");
  add_tokens(app, "segment_length", o.spec.segment_length, "Tokens of a segment; 0: the length over --num_chunks");
  add_bool(app, "with_optimizer", o.spec.with_optimizer,
           "Clip and update the weights too; False: forward, backward and accumulation");
  add_option(app, "gradient_accumulation_steps", o.spec.accumulation_steps, "Forwards and backwards in one step",
             kBatch);
  add_option(app, "segment_parallel", o.segment_parallel,
             "Under torchrun, srun or mpirun: processes that share each sequence, by whole segments", kFromOne);
  o.sharding.bind(app);
  o.sharding.bind_memory_limit(app);
  add_one_meaning(app, {"model_type",
                        {"llama", "qwen", "qwen3"},
                        "the model's config.json says the family",
                        "models of these families are supported"});
  add_refused(app, "compress_dim", "has another name here", "use --bottleneck_dim");
  add_refused(app, "output_dir", "each form of the table has a file of its own", "use --csv and --latex");
}

void bind_attention(CLI::App& app, BenchOptions& o) {
  bind_common(app, o, "seq_len", "Tokens of a segment, a list: 2048,4096,8192");
  add_option(app, "prefix_slots", o.spec.prefix_slots, "Slots before each segment", {0, config::kMaxSlots});
  add_tokens(app, "tokens", o.spec.attention_tokens, "Of all segments together; 0: 65,536 on a GPU, 4096 on a CPU");
}

void bind_decode(CLI::App& app, BenchOptions& o) {
  bind_common(app, o, "seq_len,--context_lengths",
              "Tokens that a sequence has already, a list: 8192,16384,32768 (also --context_lengths)");
  add_list(app, "batch_size", o.batch_sizes, "Sequences that get a token each in one step, a list: 1,8");
  add_option(app, "new_tokens", o.spec.new_tokens, "Steps of a run, each a token more", {1, 1000000});
  o.base_format.bind(app);
  add_bool(app, "record_graph", o.spec.records_graph, "On a GPU: the step as one CUDA graph");
}

void bind_loss(CLI::App& app, BenchOptions& o) {
  bind_common(app, o, "seq_len", "Tokens whose loss is taken, a list: 8192,16384,32768");
}

}  // namespace

CommandEntry bench_step_command() {
  return bench_entry("step", "Measure a training step: tokens/s, TFLOP/s, memory, where the time goes", bind_step,
                     [](const bench::BenchSpec& spec) { return bench::bench_model(spec, bench::BenchWork::kStep); });
}

CommandEntry bench_eval_command() {
  return bench_entry("eval", "Measure evaluation: forward and the scores of all tokens, without gradients", bind_model,
                     [](const bench::BenchSpec& spec) { return bench::bench_model(spec, bench::BenchWork::kEval); });
}

CommandEntry bench_decode_command() {
  return bench_entry("decode", "Measure decoding over a full cache: tokens/s against what the memory's rate allows",
                     bind_decode, bench::bench_decode);
}

CommandEntry bench_attention_command() {
  return bench_entry("attention", "Measure attention inside segments alone, forward and backward", bind_attention,
                     bench::bench_attention);
}

CommandEntry bench_links_command() {
  return {"bench links", "Measure collectives between the processes of a launcher", [](CLI::App& app) -> Runner {
            auto o = std::make_shared<BenchOptions>();
            o->spec.repetitions = 20;
            o->app = &app;
            add_list(app, "bytes", o->link_bytes, "Bytes of each collective over all processes, a list: 64KiB,404MB");
            bind_runs_and_output(app, *o);
            return [o] {
              for (const std::string& size : list_items(o->link_bytes, "--bytes"))
                o->spec.link_bytes.push_back(static_cast<int64_t>(parse_size(size, "--bytes")));
              resolve_common(*o);
              return measure_with_processes(*o, bench::bench_links);
            };
          }};
}

CommandEntry bench_loss_command() {
  return bench_entry("loss", "Measure head, softmax and loss alone", bind_loss, bench::bench_loss);
}

}  // namespace hici::commands
