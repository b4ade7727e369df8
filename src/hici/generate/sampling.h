// SPDX-License-Identifier: Apache-2.0
// Choice of the next token from logits. B sequences, V vocabulary
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace hici::generate {

// Applied in this order, as in transformers: repetition penalty, temperature, top-k, top-p.
struct SamplingOptions {
  double temperature = 0;         // 0: greedy, the most probable token (the first of equals)
  int64_t top_k = 0;              // draws from the k most probable tokens; 0: all
  double top_p = 1;               // draws from the smallest set of most probable tokens whose sum is top_p
  double repetition_penalty = 1;  // divides positive logits of earlier tokens and multiplies negative ones
  uint64_t seed = 42;

  bool is_greedy() const { return temperature == 0; }
  // Messages name the options; top-k and top-p without a temperature have no effect and are an error.
  void validate() const;
};

// logits_BV -> tokens [B], int64, on the device of the logits. Does not synchronise. uniform_B: the random number in
// [0, 1) of each sequence, float64; unused if greedy. seen_BV: bool; only with a repetition penalty. Sums are in
// float64, so the same numbers give the same tokens except for near ties.
at::Tensor choose_tokens(const at::Tensor& logits_BV, const at::Tensor& uniform_B, const at::Tensor& seen_BV,
                         const SamplingOptions& options);

// A copy of the logits in which the tokens `ids` (int64, same device) have logit minus infinity: they are never chosen.
at::Tensor without_tokens(const at::Tensor& logits_BV, const at::Tensor& ids);

// The random number in [0, 1) for step `step` of sequence `stream`. A function of its arguments only, so answers do not
// depend on which sequences form a batch.
double uniform_number(uint64_t seed, uint64_t stream, uint64_t step);

}  // namespace hici::generate
