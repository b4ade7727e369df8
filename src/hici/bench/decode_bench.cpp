// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/decode_bench.h"

#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/bench/model_case.h"
#include "hici/config/rope.h"
#include "hici/generate/decode_session.h"
#include "hici/generate/sampling.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace hici::bench {
namespace {

std::vector<BenchColumn> decode_columns() {
  return {{"batch", "/batch_size"},
          {"context", "/seq_len"},
          {"tokens/s", "/tokens_per_second"},
          {"ms a step", "/ms"},
          {"min", "/ms_min"},
          {"max", "/ms_max"},
          {"GB read", "/bytes_read", 1e9},
          {"bound tokens/s", "/bound_tokens_per_second"},
          {"% of bound", "/bound_percent"},
          {"peak GiB", "/peak_memory_bytes", kGib}};
}

// What one step reads of the model, bytes; of an embedding that is not the head too, next to nothing.
double weight_bytes(nn::CausalLm& model) {
  int64_t bytes = 0;
  model.visit_parameters([&](const std::string&, const at::Tensor& t) { bytes += static_cast<int64_t>(t.nbytes()); });
  for (nn::DecoderLayer& layer : model.layers())
    for (const auto& [name, linear] : layer.linears())
      for (const at::Tensor& t : {linear->block_scale, linear->scale_groups})
        if (t.defined()) bytes += static_cast<int64_t>(t.nbytes());
  if (!model.config().tie_word_embeddings) bytes -= static_cast<int64_t>(model.embed_tokens().nbytes());
  return static_cast<double>(bytes);
}

// One case: the model, and a cache that holds `length` tokens of each sequence.
class DecodeCase {
 public:
  DecodeCase(const BenchSpec& spec, int64_t batch, int64_t length, WeightPool& pool)
      : spec_(spec), batch_(batch), length_(length), model_(config_for(spec, length), {spec.dtype}) {
    model_.visit_parameters([&](const std::string& name, at::Tensor& t) { t = pool.get(name, t.sizes()); });
    if (spec.base_format != config::BaseFormat::kModel) {
      model_.quantise_frozen(spec.base_format, /*has_backward=*/false);
      pool.drop_unused();
    }
    session_ = std::make_unique<generate::DecodeSession>(
        model_, generate::SessionShape{
                    .batch = batch, .capacity = length + spec.new_tokens, .records_graph = spec.records_graph});
    for (const nn::LayerCache& layer : session_->cache().layers) {
      layer.k_BXJD.normal_();
      layer.v_BXJD.normal_();
    }
  }

  void run() {
    session_->positions_B().fill_(length_);
    for (int64_t i = 0; i < spec_.new_tokens; ++i) {
      session_->advance();
      session_->tokens_B().copy_(generate::choose_tokens(session_->logits_BV(), {}, {}, {}));
      on_host_ = session_->tokens_B().cpu();
    }
  }

  nlohmann::json measure(const MachineRates& rates) {
    // Two steps at least: the first is not recorded, the second records.
    for (int64_t i = 0; i < std::max(spec_.warmup, int64_t{2}); ++i) run();
    device::reset_peak_memory(spec_.device);
    std::vector<double> seconds;
    const auto steps = static_cast<double>(spec_.new_tokens);
    for (int64_t i = 0; i < spec_.repetitions; ++i)
      seconds.push_back(seconds_of(spec_.device, [this] { run(); }, spec_.pause_ms) / steps);
    const Spread spread = spread_of(seconds);
    const auto sequences = static_cast<double>(batch_);
    const double rows = static_cast<double>(length_) + (steps + 1) / 2;  // of the middle step, its own included
    const double row_bytes = static_cast<double>(nn::kv_row_bytes(spec_.model.config, spec_.dtype));
    const double bytes = weight_bytes(model_) + sequences * rows * row_bytes;
    const double bound_seconds = bytes / rates.copy_bytes_per_second;
    return {{"ms", spread.median * 1e3},
            {"ms_min", spread.min * 1e3},
            {"ms_max", spread.max * 1e3},
            {"tokens_per_second", sequences / spread.median},
            {"bytes_read", bytes},
            {"bound_tokens_per_second", sequences / bound_seconds},
            {"bound_percent", bound_seconds / spread.median * 100},
            {"peak_memory_bytes", device::peak_memory(spec_.device).allocated}};
  }

 private:
  static config::ModelConfig config_for(const BenchSpec& spec, int64_t length) {
    config::ModelConfig config = spec.model.config;
    config.rope.context_factor = config::context_extension_factor(config, length + spec.new_tokens);
    return config;
  }

  const BenchSpec& spec_;
  int64_t batch_, length_;
  nn::CausalLm model_;
  std::unique_ptr<generate::DecodeSession> session_;
  at::Tensor on_host_;
};

bool cache_fits(const BenchSpec& spec, int64_t batch, int64_t length) {
  const double wanted = static_cast<double>(nn::kv_row_bytes(spec.model.config, spec.dtype)) *
                        static_cast<double>(batch) * static_cast<double>(length + spec.new_tokens);
  return wanted <= static_cast<double>(device::free_memory(spec.device));
}

nlohmann::json decode_row(const BenchSpec& spec, int64_t batch, int64_t length, WeightPool& pool,
                          const MachineRates& rates) {
  nlohmann::json row;
  log_info("measuring ", batch, " x ", counted(length, "token"));
  const bool has_room = cache_fits(spec, batch, length) &&
                        has_room_for([&] { row = DecodeCase(spec, batch, length, pool).measure(rates); });
  row["status"] = has_room ? kOk : kOutOfMemory;
  row["batch_size"] = batch;
  row["seq_len"] = length;
  device::release_cached_memory(spec.device);
  return row;
}

}  // namespace

BenchReport bench_decode(const BenchSpec& spec) {
  const at::NoGradGuard no_grad;
  at::manual_seed(1);
  const MachineRates rates = measure_machine(spec.device, spec.dtype, spec.pause_ms);
  nlohmann::json facts = common_facts("bench decode", spec, rates);
  facts["new_tokens"] = spec.new_tokens;
  facts["base_format"] = name_of(spec.base_format);
  facts["records_graph"] = spec.records_graph && spec.device.is_cuda();
  BenchReport report{std::move(facts),
                     detail::concat("decoding: ", spec.model.name, ", ", counted(spec.new_tokens, "step"),
                                    " behind each context", matrices_text(spec.base_format, ", "),
                                    spec.device.is_cuda() ? spec.records_graph ? ", one CUDA graph a step" : "" : ""),
                     decode_columns(),
                     {},
                     {"bound: weights and cache read once a step at the rate of the copy"}};
  WeightPool pool(spec.device, spec.dtype);
  for (const int64_t batch : spec.batch_sizes) {
    for (const int64_t length : spec.lengths) report.rows.push_back(decode_row(spec, batch, length, pool, rates));
  }
  return report;
}

}  // namespace hici::bench
