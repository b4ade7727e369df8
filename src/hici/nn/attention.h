// SPDX-License-Identifier: Apache-2.0
// The attention layer of Llama and Qwen3: HiCI, full, shifted sparse and Dual Chunk Attention, and over a KV cache.
// Reference: project_qkv(), hici_attention(), full_attention(), shifted_sparse_attention(), prefill_cache(),
// decode_attention() of the reference.
// B batch, T tokens, N segments, S tokens per segment, P prefix slots, C hidden, H heads, J kv heads, D head dim
#pragma once

#include "hici/config/model_config.h"
#include "hici/device/side_stream.h"
#include "hici/nn/attention_observer.h"
#include "hici/nn/kv_cache.h"
#include "hici/nn/linear.h"
#include "hici/nn/slot_provider.h"
#include "hici/ops/attention_heads.h"
#include "hici/ops/dual_chunk_attention.h"
#include "hici/ops/segment_attention.h"

#include <memory>
#include <string_view>
#include <vector>

namespace hici::nn {

enum class AttentionKind {
  kHici,  // causal inside each segment, over [global slots, local slots, own tokens]
  kFull,  // causal over the whole sequence, no slots
  kS2,    // LongLoRA's shifted sparse attention: half of the heads in segments, half in segments shifted by S/2
  kDca,   // Dual Chunk Attention: causal over the whole sequence, positions bounded; no slots, no gradients
};

// "hici", "full", "s2", "dca"; an unknown name is a usage error that lists them. `subject` is the option it came from.
AttentionKind attention_kind_from_name(std::string_view name, std::string_view subject);
std::string_view attention_kind_name(AttentionKind kind);

// Packing: for each row of a batch the lengths of its sequences, from its first token on. A sequence does not attend to
// another, and its positions start at 0. Padding may follow the last one.
using SequenceLengths = std::vector<std::vector<int64_t>>;

// The inputs that all layers of one forward share.
struct AttentionContext {
  AttentionKind kind = AttentionKind::kFull;
  int64_t segment_length = 0;  // S; divides T, or every length of `sequences`; 0: T. Ignored by kFull
  at::Tensor valid_BT;         // bool, padding on the right; undefined: every token counts
  ops::RotaryTables rotary;
  ops::AttentionBackend backend = ops::AttentionBackend::kAuto;
  int64_t segment = 0;                   // number of the segment, from 0; forward_segment() only
  SequenceLengths sequences = {};        // empty: each row is one sequence
  CacheRows cache_rows = {};             // forward() with a cache only
  ops::DualChunkTables dual_chunk = {};  // kDca only, which ignores `rotary`
  // Receives the inputs of kHici attention in forward() without a cache; may be null.
  AttentionObserver* observer = nullptr;
  int64_t layer = 0;                  // number of the layer, for the observer
  parallel::SegmentShare share = {};  // of kHici in forward(): which segments of the sequence are here
};

// One segment through attention or a whole layer: its hidden states, and the layer's state after it.
struct SegmentOutput {
  at::Tensor hidden_BSC;
  LayerState after;
};

struct Attention {
  Linear q_proj, k_proj, v_proj, o_proj;
  at::Tensor q_norm, k_norm;  // [D], Qwen3 only
  double norm_eps = 0;
  int64_t head_dim = 0;
  std::unique_ptr<SlotProvider> hierarchy;  // null: kHici is plain attention inside segments

  Attention() = default;
  Attention(const config::ModelConfig& config, const ParameterOptions& options);

  // x_BTC, already normed -> [B, T, C]; rows of padded tokens are zero before the output projection. With a cache keys
  // and values of the tokens are written to context.cache_rows, and attention is over all cache rows up to them
  // (kFull or kDca; rotary tables of these tokens; no gradients, no padding). `x_for_slots`: alias of x for the
  // slots (ops::NormedSum::normed_for_slots); undefined: x itself.
  at::Tensor forward(const at::Tensor& x_BTC, const AttentionContext& context, const LayerCache* cache = nullptr,
                     const at::Tensor& x_for_slots = {}) const;
  // Prefill with HiCI: x_1TC, already normed, is a whole prompt and one segment. Writes keys and values of its slots to
  // the first rows of the cache.
  void write_slots(const at::Tensor& x_1TC, const LayerCache& cache) const;
  // forward() of one segment of kHici, given the state before it: the T = S tokens of x are that segment.
  SegmentOutput forward_segment(const at::Tensor& x_BSC, const AttentionContext& context,
                                const LayerState& before) const;
  void visit_parameters(const std::string& prefix, const ParameterVisitor& visit);
  void add_lora(const std::vector<std::string>& targets, int64_t rank, double scale);

 private:
  // Each sequence of a packed row by itself; the result is exactly that of the sequence alone.
  at::Tensor forward_sequences(const at::Tensor& x_BTC, const AttentionContext& context) const;
  at::Tensor attend_segments(const at::Tensor& x_BTC, const at::Tensor& x_for_slots,
                             const AttentionContext& context) const;
  // Over the tokens, or with a cache over all of its rows up to them (nn/dual_chunk.cpp).
  at::Tensor attend_dual_chunks(const at::Tensor& x_BTC, const AttentionContext& context,
                                const LayerCache* cache) const;
  at::Tensor attend_cached(const at::Tensor& x_BTC, const AttentionContext& context, const LayerCache& cache) const;
  // q, k and v of tokens whose segments have a prefix of num_slots.
  TensorList project_tokens(const at::Tensor& x_BTC, int64_t num_slots, const AttentionContext& context) const;
  bool concatenates_prefix(int64_t num_slots, const AttentionContext& context, const at::Tensor& x_BTC) const;
  TensorList project_slots(const PrefixSlots& prefix) const;  // k and v of slots; empty without any
  // QK-norm, rotation, and the prefix as the backend reads it.
  ops::AttentionHeads prepare_qkv(const TensorList& tokens, const TensorList& slots, const AttentionContext& context,
                                  const at::Tensor& x_BTC) const;
  at::Tensor project_output(const at::Tensor& out, const AttentionContext& context, const at::Tensor& x_BTC) const;
};

}  // namespace hici::nn
