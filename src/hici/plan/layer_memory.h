// SPDX-License-Identifier: Apache-2.0
// Bytes that one decoder layer keeps for its backward pass and needs while it runs, counted from shapes. What is
// counted is what each op of ops/, nn/ and hierarchy/ hands to autograd; a tensor that two ops save is counted once.
// docs/performance.md has the table.
#pragma once

#include "hici/plan/step_flops.h"

#include <c10/core/ScalarType.h>

namespace hici::plan {

struct LayerTypes {
  at::ScalarType dtype = at::kFloat;  // of the model
  bool on_gpu = false;                // kernels there need no float32 copies; attention needs other workspace
  bool whole_scores = false;          // attention by plain products (ops::AttentionBackend::kMath)
  bool trains_mlp = false;            // its weights or adapters on them: their gradients need the layers' inputs

  int64_t element() const;  // bytes of a number in the model's type
  int64_t wide() const;     // and in the type of statistics: 4, or 8 for float64
};

struct LayerBytes {
  int64_t input = 0;      // x [n, C]
  int64_t attention = 0;  // x, norm, projections, heads, slots, output: all up to the attention's result
  int64_t middle = 0;     // x + attention [n, C], the input of the MLP's block
  int64_t mlp = 0;        // the rest of that block: gate and up; where the MLP is trained the inputs of its layers too
  // The largest moments of its backward pass: of the MLP's, beyond all(), and of attention's, when nothing is left of
  // the MLP's block, beyond `attention`.
  int64_t mlp_backward = 0;
  int64_t attention_backward = 0;
  int64_t output = 0;  // the layer's result, held by who recomputes it

  int64_t all() const { return attention + middle + mlp; }
};

// `shape.tokens` are those that are in one forward: with streaming a segment.
LayerBytes count_layer_bytes(const config::ModelConfig& model, const StepShape& shape, const LayerTypes& types);

}  // namespace hici::plan
