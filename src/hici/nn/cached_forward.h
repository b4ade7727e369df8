// SPDX-License-Identifier: Apache-2.0
// The decoder over a key/value cache: prompts in, one token after the other. No gradients. Reference: prefill_cache(),
// decode() of the reference. B sequences, T tokens of a prompt, C hidden
#pragma once

#include "hici/nn/causal_lm.h"
#include "hici/nn/kv_cache.h"

#include <functional>

namespace hici::nn {

// How a prompt goes into a cache.
struct PrefillOptions {
  // Or kHici: the whole prompt is one segment; or kDca: KvCache::dual_chunk has the sizes.
  AttentionKind attention = AttentionKind::kFull;
  int64_t chunk = 2048;  // tokens in one forward
  ops::AttentionBackend backend = ops::AttentionBackend::kAuto;
  // Called before each chunk of each layer (kHici) or of the model (else); false: prefill() ends with no tensor.
  std::function<bool()> before_chunk = {};
  // kFull: the first tokens of the prompt, fewer than all, whose keys and values the cache holds already.
  int64_t num_cached = 0;
};

// A prompt tokens_1T (int64, on the model's device) into a cache of one sequence (KvCache::sequence()), from its first
// row on -> hidden state [1, C] of its last token, after the last norm. Its memory in addition to the cache, for T
// tokens of width C:
//   kFull, kDca  the activations of one chunk
//   kHici        the same and two times T * C: local construction of a layer reads the whole prompt before its first
//                token attends, so that layers go one after the other over all chunks
// The prefix of KvCache::num_slots slots precedes the prompt; all tokens attend to it.
at::Tensor prefill(const CausalLm& model, const at::Tensor& tokens_1T, const KvCache& cache,
                   const PrefillOptions& options);

// One more token per sequence, at position positions_B of its sequence (int64 on the device, as tokens_B): [B] ->
// hidden states [B, C] after the last norm. Does not synchronise.
at::Tensor decode(const CausalLm& model, const at::Tensor& tokens_B, const at::Tensor& positions_B,
                  const KvCache& cache, const ops::RotaryFrequencies& frequencies);

// Prefix slots of a prompt with kHici; 0 without a hierarchy.
int64_t num_prompt_slots(const CausalLm& model);

}  // namespace hici::nn
