// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/step_flops.h"

#include "hici/ops/slot_statistics.h"

#include <algorithm>

namespace hici::plan {
namespace {

using config::CausalMode;
using config::HiciConfig;
using config::ModelConfig;

// Operations forward and backward; counts are doubles, as a step of a large model does not fit 64 bits for long.
struct Work {
  double forward = 0;
  double backward = 0;

  Work operator+(const Work& other) const { return {forward + other.forward, backward + other.backward}; }
  Work operator*(double times) const { return {forward * times, backward * times}; }
};

double product(int64_t rows, int64_t in, int64_t out) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
}

// [rows, in] times a frozen [in, out].
Work frozen(int64_t rows, int64_t in, int64_t out) { return {product(rows, in, out), product(rows, in, out)}; }
// Both factors get a gradient.
Work trained(int64_t rows, int64_t in, int64_t out) { return {product(rows, in, out), 2 * product(rows, in, out)}; }
Work adapter(int64_t rows, int64_t in, int64_t out, int64_t rank) {
  return trained(rows, in, rank) + trained(rows, rank, out);
}

Work layer_linears(const ModelConfig& m, const StepShape& shape) {
  const int64_t rows = shape.batch * shape.tokens, hidden = m.hidden_size;
  const int64_t query = m.num_attention_heads * m.head_dim, key = m.num_key_value_heads * m.head_dim;
  Work work = frozen(rows, hidden, m.intermediate_size) * 3;
  for (const int64_t width : {query, key, key, query}) {  // o_proj is q_proj the other way round
    work = work + frozen(rows, hidden, width) + adapter(rows, hidden, width, shape.lora_rank);
  }
  return work;
}

// Segments of one sequence that see slots.
int64_t segments_with_slots(const StepShape& shape) {
  const int64_t segments = shape.tokens / shape.segment_length;
  return shape.hici->is_shifted() ? segments - 1 : segments;
}

double triangle(int64_t length) { return 0.5 * static_cast<double>(length) * static_cast<double>(length + 1); }

// LongLoRA: half of the heads in segments, the others in segments shifted by half a segment.
double shifted_pairs(const StepShape& shape) {
  const int64_t length = shape.segment_length, head = std::min(length / 2, shape.tokens);
  const int64_t middle = (shape.tokens - head) / length, tail = shape.tokens - head - middle * length;
  const double straight = static_cast<double>(shape.tokens / length) * triangle(length);
  return 0.5 * (straight + triangle(head) + static_cast<double>(middle) * triangle(length) + triangle(tail));
}

// Local construction over `groups` segments; see hierarchy/local_constructor.cpp.
Work local_construction(const HiciConfig& h, int64_t hidden, const StepShape& shape) {
  const int64_t rows = shape.batch * shape.tokens, groups = rows / shape.segment_length, rank = shape.lora_rank;
  const int64_t width = h.local_width(hidden), slots = h.num_local_slots;
  Work work = trained(slots, hidden, width) + adapter(slots, hidden, width, rank);  // queries
  work = work + trained(width, rank, hidden) * 2;                                   // adapters into W_k and W_v
  work = work + trained(slots, width, hidden);                                      // queries through W_k
  work = work + trained(rows, hidden, h.num_heads * slots) * 2;                     // scores, weighted means
  work = work + trained(groups * slots, hidden, width);                             // values
  if (!h.use_bottleneck) return work;
  return work + trained(groups * slots, width, hidden) + adapter(groups * slots, width, hidden, rank);
}

// Global integration; see hierarchy/global_integrator.cpp. One row for a sequence in mode none, else one for a segment.
Work global_integration(const HiciConfig& h, int64_t hidden, const StepShape& shape) {
  constexpr int64_t kStatistics = ops::kNumStatistics;
  const int64_t segments = shape.tokens / shape.segment_length;
  const int64_t rows = shape.batch * (h.causal_mode == CausalMode::kNone ? 1 : segments);
  const int64_t width = h.bottleneck_dim, queries = h.global_slots, rank = shape.lora_rank;
  Work work = h.shared_compressor ? trained(rows * kStatistics, hidden, h.shared_compress_dim)
                                  : trained(rows * kStatistics, hidden, width);
  if (h.shared_compressor && h.shared_compress_dim < width) {
    work = work + trained(rows * kStatistics, h.shared_compress_dim, width);
  }
  auto projection = [&](int64_t n) { return trained(n, width, width) + adapter(n, width, width, rank); };
  work = work + projection(queries) + projection(rows * kStatistics) * 2 + projection(rows * queries);
  work = work + trained(rows * queries, width, kStatistics) * 2;  // scores and values, all heads together
  return work + trained(rows * queries, width, hidden);
}

Work layer_hici(const ModelConfig& m, const StepShape& shape) {
  if (!has_hierarchy(shape)) return {};
  const HiciConfig& h = *shape.hici;
  Work work = local_construction(h, m.hidden_size, shape);
  if (h.use_global_integrator) work = work + global_integration(h, m.hidden_size, shape);
  // Those that a shifted mode keeps from the first segment are zeros, but are projected as well.
  const int64_t slots = shape.batch * (shape.tokens / shape.segment_length) * h.slots_per_segment();
  const int64_t key = m.num_key_value_heads * m.head_dim;
  return work + (frozen(slots, m.hidden_size, key) + adapter(slots, m.hidden_size, key, shape.lora_rank)) * 2;
}

Work layer_attention(const ModelConfig& m, const StepShape& shape) {
  const double a_pair = static_cast<double>(m.num_attention_heads * m.head_dim);
  const double pairs = static_cast<double>(shape.batch) * count_attention_pairs(shape);
  return {4 * a_pair * pairs, 10 * a_pair * pairs};
}

}  // namespace

bool has_hierarchy(const StepShape& shape) {
  return shape.attention == nn::AttentionKind::kHici && shape.hici && shape.hici->use_local_constructor;
}

double count_attention_pairs(const StepShape& shape) {
  if (shape.attention == nn::AttentionKind::kFull) return triangle(shape.tokens);
  if (shape.attention == nn::AttentionKind::kS2) return shifted_pairs(shape);
  const double own = static_cast<double>(shape.tokens / shape.segment_length) * triangle(shape.segment_length);
  if (!has_hierarchy(shape)) return own;
  return own + static_cast<double>(segments_with_slots(shape) * shape.segment_length * shape.hici->slots_per_segment());
}

StepFlops count_step_flops(const ModelConfig& model, const StepShape& shape) {
  const auto layers = static_cast<double>(model.num_hidden_layers);
  const Work linear = layer_linears(model, shape) * layers, attention = layer_attention(model, shape) * layers;
  const Work hici = layer_hici(model, shape) * layers;
  const double logits = product(shape.batch * shape.tokens, model.hidden_size, model.vocab_size);
  return {{linear.forward, attention.forward, hici.forward, logits},
          {linear.backward, attention.backward, hici.backward, logits * (shape.trains_head ? 2 : 1)}};
}

}  // namespace hici::plan
