// SPDX-License-Identifier: Apache-2.0
// The attention layer of Llama and Qwen3: one set of projections, and the kind of attention that the inputs say. Each
// kind is a file of this folder; which runs is decided in attention.cpp and nowhere else.
// B batch, T tokens, S tokens per segment, C hidden
#pragma once

#include "hici/nn/attention/attention_kind.h"
#include "hici/nn/attention/cached.h"
#include "hici/nn/attention/dual_chunk.h"
#include "hici/nn/attention/full.h"
#include "hici/nn/attention/hierarchical.h"
#include "hici/nn/attention/segments.h"
#include "hici/nn/attention/shifted.h"

#include <memory>
#include <variant>
#include <vector>

namespace hici::nn {

// Packing: for each row of a batch the lengths of its sequences, from its first token on. A sequence does not attend to
// another, and its positions start at 0. Padding may follow the last one.
using SequenceLengths = std::vector<std::vector<int64_t>>;

// One forward over whole sequences; all layers share it.
struct AttentionInputs {
  CommonInputs common = {};
  std::variant<FullInputs, SegmentInputs, ShiftedInputs, HierarchicalInputs, DualChunkInputs> kind = {};
  SequenceLengths sequences = {};  // empty: each row is one sequence. The segment length divides every one of them
};

// One forward over a KV cache: no gradients, no padding. common.rotary is that of the new tokens.
struct CachedInputs {
  CommonInputs common = {};
  std::variant<FullInputs, DualChunkInputs> kind = {};
  CacheRows rows = {};
};

// One segment of a sequence that comes segment by segment.
struct StreamedInputs {
  CommonInputs common = {};
  int64_t segment = 0;                // its number, from 0
  parallel::SegmentShare share = {};  // several processes take a segment each, neighbours of one sequence
};

// One segment through attention or a whole layer: its hidden states, and the layer's state after it.
struct SegmentOutput {
  at::Tensor hidden_BSC;
  LayerState after;
};

struct Attention {
  AttentionProjections projections;
  std::unique_ptr<SlotProvider> hierarchy;  // null: there is no HierarchicalInputs for this layer

  Attention() = default;
  Attention(const config::ModelConfig& config, const ParameterOptions& options) : projections(config, options) {}

  // x_BTC, already normed -> [B, T, C]. `x_for_slots`: alias of x for the slots (ops::NormedSum::normed_for_slots);
  // undefined: x itself.
  at::Tensor forward(const at::Tensor& x_BTC, const AttentionInputs& inputs, const at::Tensor& x_for_slots = {}) const;
  // Keys and values of the tokens are written to inputs.rows; attention is over all rows of the cache up to them.
  at::Tensor forward_cached(const at::Tensor& x_BTC, const CachedInputs& inputs, const LayerCache& cache) const;
  // forward() of one segment, given the state before it: with HierarchicalInputs where the layer has a hierarchy, else
  // with SegmentInputs. The T = S tokens of x are that segment.
  SegmentOutput forward_segment(const at::Tensor& x_BSC, const StreamedInputs& inputs, const LayerState& before) const;

  void visit_parameters(const std::string& prefix, const ParameterVisitor& visit);
  // `prefix`: as for visit_parameters().
  void add_lora(const std::string& prefix, const config::LoraConfig& lora);

 private:
  at::Tensor attend(const at::Tensor& x_BTC, const AttentionInputs& inputs, const at::Tensor& x_for_slots) const;
  // Each sequence of a packed row by itself; the result is exactly that of the sequence alone.
  at::Tensor forward_sequences(const at::Tensor& x_BTC, const AttentionInputs& inputs) const;
};

}  // namespace hici::nn
