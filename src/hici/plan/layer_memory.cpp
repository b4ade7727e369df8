// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/layer_memory.h"

#include "hici/ops/slot_statistics.h"
#include "hici/ops/types.h"

#include <ATen/Parallel.h>
#include <c10/core/ScalarType.h>

#include <algorithm>

namespace hici::plan {
namespace {

using config::CausalMode;
using config::HiciConfig;
using config::ModelConfig;

// n tokens, G segments, H query heads and J kv heads of width D, all of the batch.
struct Sizes {
  int64_t n, C, F, query, key, heads, kv_heads, e, w;
  int64_t rank;

  Sizes(const ModelConfig& m, const StepShape& shape, const LayerTypes& types)
      : n(shape.batch * shape.tokens),
        C(m.hidden_size),
        F(m.intermediate_size),
        query(m.num_attention_heads * m.head_dim),
        key(m.num_key_value_heads * m.head_dim),
        heads(m.num_attention_heads),
        kv_heads(m.num_key_value_heads),
        e(types.element()),
        w(types.wide()),
        rank(shape.lora_rank) {}
};

// What the hierarchy of a layer keeps beside the normed input that it reads. B sequences of N segments, G = B N.
int64_t hierarchy_bytes(const Sizes& z, const StepShape& shape) {
  const HiciConfig& h = *shape.hici;
  const int64_t segments = shape.tokens / shape.segment_length, G = shape.batch * segments;
  const int64_t X = h.num_heads * h.num_local_slots, width = h.local_width(z.C), slots = h.slots_per_segment();
  int64_t bytes = z.e * (X * z.C + X * z.n + X * G * z.C);              // absorbed queries, weights, means
  if (z.rank > 0) bytes += 2 * z.e * width * z.C;                       // W + s B A of keys and of values
  if (z.rank > 0 && shape.has_dropout) bytes += 4 * z.e * z.n * width;  // or they themselves, by token and by head
  bytes += z.e * G * h.num_local_slots * (width + z.C);                 // what was read, and the local slots
  bytes += z.e * G * slots * (z.C + 2 * z.rank);                        // all slots through k and v
  if (!h.use_global_integrator) return bytes;
  const int64_t rows = h.causal_mode == CausalMode::kNone ? shape.batch : G, W = h.bottleneck_dim;
  const int64_t statistics = ops::kNumStatistics * rows;
  // Compressors and their norms, keys and values, the queries' way out; small beside anything of n rows.
  bytes += z.e * (statistics * (z.C + 3 * h.shared_compress_dim + 5 * W) + rows * h.global_slots * (4 * W + 2 * z.C));
  if (h.causal_mode != CausalMode::kNone) return bytes + 14 * z.w * rows * z.C;  // sums up to each segment
  if (z.e < z.w) bytes += z.w * G * h.num_local_slots * z.C;                     // slots in float32
  return bytes + (3 * z.w + 16) * rows * z.C;
}

// Keys that a query may see, the slots' included.
int64_t keys_of_query(const StepShape& shape) {
  if (shape.attention == nn::AttentionKind::kFull) return shape.tokens;
  return shape.segment_length + (has_hierarchy(shape) ? shape.hici->slots_per_segment() : 0);
}

// The heads that attention reads, its output, the log-sum-exp; on a CPU the weights of the slots.
int64_t heads_bytes(const Sizes& z, const StepShape& shape, const LayerTypes& types) {
  const int64_t lse = z.n * z.heads * z.w;
  if (shape.attention == nn::AttentionKind::kS2) return z.e * 5 * z.n * z.query + lse;  // all heads' keys; out twice
  int64_t bytes = z.e * (2 * z.n * z.query + 2 * z.n * z.key) + lse;
  if (types.whole_scores) bytes += z.e * z.n * z.query;  // the output once more, in the order of the tokens
  if (!has_hierarchy(shape)) return bytes;
  const int64_t segments = shape.tokens / shape.segment_length, slots = shape.hici->slots_per_segment();
  bytes += 2 * z.e * shape.batch * segments * slots * z.key;
  if (!types.on_gpu && !types.whole_scores) bytes += z.w * z.n * z.heads * (slots + 1);
  if (shape.hici->is_shifted() && segments > 1) bytes += z.e * z.n * z.query;  // two calls, joined
  return bytes;
}

int64_t attention_bytes(const ModelConfig& m, const Sizes& z, const StepShape& shape, const LayerTypes& types) {
  int64_t bytes = z.n * (2 * z.C * z.e + z.w);  // x, its norm, one number a row
  bytes += z.e * z.n * 4 * z.rank;              // x A^T of q, k, v and of o
  if (m.qk_norm()) bytes += z.n * (z.e * (z.query + z.key) + z.w * (z.heads + z.kv_heads));
  bytes += heads_bytes(z, shape, types);
  return has_hierarchy(shape) ? bytes + hierarchy_bytes(z, shape) : bytes;
}

// LibTorch's kernel for the CPU (2.11) keeps two tiles of scores for each thread, of 32, 64 or 256 queries by 512 keys.
int64_t cpu_tile_bytes(const Sizes& z, const StepShape& shape) {
  const int64_t length = shape.segment_length > 0 ? shape.segment_length : shape.tokens;
  const int64_t queries = length >= 768 ? 256 : length >= 192 ? 64 : 32;
  return 2 * at::get_num_threads() * queries * std::min<int64_t>(512, length) * z.w;
}

// Attention's own backward on a CPU (ops/segment_attention.cpp): gradients of its output and of q, k and v, and with
// fewer key than query heads keys, values and their gradients for every query head. The slots come after it
// (ops/prefix_attention.cpp): the product of output and its gradient, or the gradients of a block of heads' weights.
int64_t cpu_attention_backward(const Sizes& z, const StepShape& shape) {
  const int64_t query = z.e * z.n * z.query, key = z.e * z.n * z.key;
  const bool grouped = z.heads > z.kv_heads;
  const int64_t own = 2 * query + (grouped ? 4 * query : 2 * key) + cpu_tile_bytes(z, shape);
  if (!has_hierarchy(shape)) return own;
  const int64_t block = std::min(z.heads, std::max<int64_t>(1, 128 * z.heads / z.query));
  const int64_t weights = z.w * z.n * block * (shape.hici->slots_per_segment() + 1);
  const int64_t held =
      2 * query + 2 * key + (grouped ? 2 * query : 0);  // gradients for every query head stay until then
  return std::max(own, held + z.w * z.n * z.heads + std::max(query, weights));
}

// On a GPU the workspace is the gradient of q in float32, and gradients of k and v for every query head.
int64_t gpu_attention_backward(const Sizes& z) {
  const int64_t query = z.e * z.n * z.query, key = z.e * z.n * z.key;
  return 2 * query + 2 * key + z.n * z.query * z.w + (z.heads > z.kv_heads ? 2 * query : 0);
}

// Scores held whole: the weights and their gradient; q, k, v and the gradient of the output heads first.
int64_t math_attention_backward(const Sizes& z, const StepShape& shape) {
  return z.e * z.n * (6 * z.query + 2 * z.key) + 2 * z.w * z.n * z.heads * keys_of_query(shape);
}

}  // namespace

int64_t LayerTypes::element() const { return static_cast<int64_t>(c10::elementSize(dtype)); }
int64_t LayerTypes::wide() const { return static_cast<int64_t>(c10::elementSize(ops::accumulation_type(dtype))); }

LayerBytes count_layer_bytes(const config::ModelConfig& model, const StepShape& shape, const LayerTypes& types) {
  const Sizes z(model, shape, types);
  const int64_t row = z.n * z.C * z.e, wide_row = z.n * z.F * z.e;
  LayerBytes bytes;
  bytes.input = bytes.middle = bytes.output = row;
  bytes.attention = attention_bytes(model, z, shape, types);
  bytes.mlp = z.n * z.w + 2 * wide_row + (types.trains_mlp ? row + wide_row : 0);
  // In the backward of SwiGLU there are the gradients of the layer's output, of SwiGLU's product, of gate and of up (on
  // a CPU a product of two more); a product that was kept is gone already.
  bytes.mlp_backward = row + (types.on_gpu ? 3 : 4) * wide_row - (types.trains_mlp ? wide_row : 0);
  // And the gradient of the layer's middle.
  bytes.attention_backward = row + (types.whole_scores ? math_attention_backward(z, shape)
                                    : types.on_gpu     ? gpu_attention_backward(z)
                                                       : cpu_attention_backward(z, shape));
  return bytes;
}

}  // namespace hici::plan
