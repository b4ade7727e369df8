// SPDX-License-Identifier: Apache-2.0
// From logits to the next token. B sequences, V vocabulary
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace hici::generate {

// Applied in this order, as in transformers: repetition penalty, temperature, top-k, top-p.
struct SamplingOptions {
  double temperature = 0;         // 0: greedy, the most probable token (the first of equals)
  int64_t top_k = 0;              // draw among the k most probable; 0: all
  double top_p = 1;               // draw among the fewest of the most probable that have this probability together
  double repetition_penalty = 1;  // logits of tokens seen before are divided by it where positive, else multiplied
  uint64_t seed = 42;

  bool is_greedy() const { return temperature == 0; }
  // Messages name the options; top-k and top-p without a temperature have no effect and are an error.
  void validate() const;
};

// logits_BV -> tokens [B], int64, on the device of the logits and without waiting for it. uniform_B: a number in
// [0, 1) for each sequence, float64, that decides (not looked at by greedy). seen_BV: bool, where there is a repetition
// penalty. Sums are in float64, so that the same numbers give the same tokens but for near ties.
at::Tensor choose_tokens(const at::Tensor& logits_BV, const at::Tensor& uniform_B, const at::Tensor& seen_BV,
                         const SamplingOptions& options);

// A copy of the logits in which the tokens `ids` (int64, on their device) have minus infinity: they are never chosen.
at::Tensor without_tokens(const at::Tensor& logits_BV, const at::Tensor& ids);

// The number in [0, 1) of step `step` of sequence `stream`. A function of its arguments alone: answers do not depend on
// which sequences are worked on together.
double uniform_number(uint64_t seed, uint64_t stream, uint64_t step);

}  // namespace hici::generate
