// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/op_bench.h"

#include "hici/base/error.h"
#include "hici/device/device.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/ops/segment_attention.h"
#include "hici/ops/segment_padding.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace hici::bench {
namespace {

// The times of forwards and backwards.
struct Times {
  std::vector<double> forward, backward;
};

// Warms up, then times `forward`, which makes fresh inputs with gradients first, and the backward of what it returns.
// The inputs are made before the clock starts.
Times time_op(const BenchSpec& spec, const std::function<std::vector<at::Tensor>()>& draw,
              const std::function<at::Tensor(const std::vector<at::Tensor>&)>& op,
              const std::function<at::Tensor(const at::Tensor&)>& draw_gradient) {
  Times times;
  for (int64_t i = 0; i < spec.warmup + spec.repetitions; ++i) {
    const std::vector<at::Tensor> inputs = draw();
    at::Tensor out;
    const double forward = seconds_of(spec.device, [&] { out = op(inputs); }, spec.pause_ms);
    const at::Tensor gradient = draw_gradient(out);
    const double backward =
        seconds_of(spec.device, [&] { torch::autograd::backward({out}, {gradient}); }, spec.pause_ms);
    if (i < spec.warmup) continue;
    times.forward.push_back(forward);
    times.backward.push_back(backward);
  }
  return times;
}

nlohmann::json timed_row(const BenchSpec& spec, int64_t length, const std::function<nlohmann::json()>& measure) {
  nlohmann::json row;
  const bool has_room = has_room_for([&] { row = measure(); });
  row["status"] = has_room ? kOk : kOutOfMemory;
  row["seq_len"] = length;
  device::release_cached_memory(spec.device);
  return row;
}

void put_times(nlohmann::json& row, const std::string& name, const std::vector<double>& seconds, double flops) {
  const Spread spread = spread_of(seconds);
  row[name] = {{"ms", spread.median * 1e3},
               {"ms_min", spread.min * 1e3},
               {"ms_max", spread.max * 1e3},
               {"flops", flops},
               {"tflops", flops / spread.median / 1e12}};
}

at::Tensor draw_normal(const BenchSpec& spec, at::IntArrayRef shape, double deviation, int64_t leading_rows = 0) {
  return ops::empty_with_leading_rows(shape, leading_rows, at::TensorOptions().device(spec.device).dtype(spec.dtype))
      .normal_(0, deviation);
}

nlohmann::json attention_row(const BenchSpec& spec, int64_t length, double matrix_rate) {
  const config::ModelConfig& m = spec.model.config;
  const int64_t tokens = spec.attention_tokens > 0 ? spec.attention_tokens : spec.device.is_cpu() ? 4096 : 65536;
  const int64_t segments = std::max<int64_t>(1, tokens / length), keys = spec.prefix_slots + length;
  const auto draw = [&] {
    std::vector<at::Tensor> qkv{
        draw_normal(spec, {segments, length, m.num_attention_heads, m.head_dim}, 1, spec.prefix_slots),
        draw_normal(spec, {segments, keys, m.num_key_value_heads, m.head_dim}, 1),
        draw_normal(spec, {segments, keys, m.num_key_value_heads, m.head_dim}, 1)};
    for (at::Tensor& t : qkv) t.requires_grad_(true);
    return qkv;
  };
  const auto attend = [&](const std::vector<at::Tensor>& qkv) {
    return ops::segment_attention(qkv[0], qkv[1], qkv[2], spec.attention_backend);
  };
  // The query and the gradient as a layer gives them: with rows in front.
  const auto draw_gradient = [&](const at::Tensor& out) {
    return draw_normal(spec, out.sizes(), 1, spec.prefix_slots);
  };
  const Times times = time_op(spec, draw, attend, draw_gradient);
  const double own = 0.5 * static_cast<double>(length) * static_cast<double>(length + 1);
  const double pairs = static_cast<double>(segments) * (own + static_cast<double>(length * spec.prefix_slots));
  const double width = static_cast<double>(m.num_attention_heads * m.head_dim);
  nlohmann::json row{{"segments", segments}, {"pairs", pairs}};
  put_times(row, "forward", times.forward, 4 * width * pairs);
  put_times(row, "backward", times.backward, 10 * width * pairs);
  const double both = row["forward"]["ms"].get<double>() + row["backward"]["ms"].get<double>();
  row["matrix_rate_percent"] = 14 * width * pairs / (both / 1e3) / matrix_rate * 100;
  return row;
}

nlohmann::json loss_row(const BenchSpec& spec, int64_t tokens, double matrix_rate) {
  const config::ModelConfig& m = spec.model.config;
  const at::Tensor head = draw_normal(spec, {m.vocab_size, m.hidden_size}, 0.02);
  at::Tensor labels;
  const auto draw = [&] {
    labels = at::randint(m.vocab_size, {tokens}, head.options().dtype(at::kLong));
    return std::vector<at::Tensor>{draw_normal(spec, {tokens, m.hidden_size}, 1).requires_grad_(true)};
  };
  const auto loss = [&](const std::vector<at::Tensor>& hidden) {
    return ops::linear_cross_entropy(hidden[0], head, labels);
  };
  const Times times = time_op(spec, draw, loss, [](const at::Tensor& out) { return at::ones_like(out); });
  std::vector<double> both;
  for (size_t i = 0; i < times.forward.size(); ++i) both.push_back(times.forward[i] + times.backward[i]);
  const double flops =
      4.0 * static_cast<double>(tokens) * static_cast<double>(m.hidden_size) * static_cast<double>(m.vocab_size);
  nlohmann::json row;
  put_times(row, "both", both, flops);
  row["tokens_per_second"] = static_cast<double>(tokens) / (row["both"]["ms"].get<double>() / 1e3);
  row["matrix_rate_percent"] = row["both"]["tflops"].get<double>() * 1e12 / matrix_rate * 100;
  return row;
}

}  // namespace

BenchReport bench_attention(const BenchSpec& spec) {
  at::manual_seed(1);
  const MachineRates rates = measure_machine(spec.device, spec.dtype, spec.pause_ms);
  const config::ModelConfig& m = spec.model.config;
  BenchReport report{common_facts("bench attention", spec, rates), "", {}, {}, {}};
  report.facts["prefix_slots"] = spec.prefix_slots;
  report.title =
      detail::concat("segment attention with the heads of ", spec.model.name, ": ", m.num_attention_heads, " over ",
                     m.num_key_value_heads, " of ", m.head_dim, ", ", spec.prefix_slots, " slots before each segment");
  report.columns = {{"S", "/seq_len"},
                    {"segments", "/segments"},
                    {"forward ms", "/forward/ms"},
                    {"min", "/forward/ms_min"},
                    {"max", "/forward/ms_max"},
                    {"TFLOP/s", "/forward/tflops"},
                    {"backward ms", "/backward/ms"},
                    {"min", "/backward/ms_min"},
                    {"max", "/backward/ms_max"},
                    {"TFLOP/s", "/backward/tflops"},
                    {"% of matrix", "/matrix_rate_percent"}};
  for (const int64_t length : spec.lengths) {
    report.rows.push_back(
        timed_row(spec, length, [&] { return attention_row(spec, length, rates.matrix_flops_per_second); }));
  }
  return report;
}

BenchReport bench_loss(const BenchSpec& spec) {
  at::manual_seed(1);
  const MachineRates rates = measure_machine(spec.device, spec.dtype, spec.pause_ms);
  const config::ModelConfig& m = spec.model.config;
  BenchReport report{common_facts("bench loss", spec, rates), "", {}, {}, {}};
  report.title = detail::concat("head, softmax and loss with the gradient of their input, of ", spec.model.name,
                                ": width ", m.hidden_size, ", vocabulary ", m.vocab_size);
  report.columns = {{"tokens", "/seq_len"},
                    {"tokens/s", "/tokens_per_second"},
                    {"ms", "/both/ms"},
                    {"min", "/both/ms_min"},
                    {"max", "/both/ms_max"},
                    {"TFLOP/s", "/both/tflops"},
                    {"% of matrix", "/matrix_rate_percent"}};
  for (const int64_t tokens : spec.lengths) {
    report.rows.push_back(
        timed_row(spec, tokens, [&] { return loss_row(spec, tokens, rates.matrix_flops_per_second); }));
  }
  return report;
}

}  // namespace hici::bench
