// SPDX-License-Identifier: Apache-2.0
// Bytes that one decoder layer keeps for its backward pass and needs while it runs, computed from shapes. Counted are
// the tensors that the ops of ops/, nn/ and hierarchy/ save for autograd; a tensor that two ops save is counted once.
// docs/performance.md has the table.
#pragma once

#include "hici/plan/step_flops.h"

#include <c10/core/ScalarType.h>

namespace hici::plan {

struct LayerTypes {
  at::ScalarType dtype = at::kFloat;  // of the model
  bool on_gpu = false;                // kernels need no float32 copies, and attention has another workspace
  bool whole_scores = false;          // attention by plain products (ops::AttentionBackend::kMath)
  bool trains_mlp = false;            // its weights or their adapters, whose gradients need the layers' inputs

  int64_t element() const;  // bytes of a number in the model's type
  int64_t wide() const;     // bytes of a statistic: 4, or 8 for float64
};

struct LayerBytes {
  int64_t input = 0;      // x [n, C]
  int64_t attention = 0;  // x, norm, projections, heads, slots, output: everything up to the attention's result
  int64_t middle = 0;     // x + attention [n, C], the input of the MLP's block
  int64_t mlp = 0;        // the rest of that block: gate and up; for a trained MLP also the inputs of its layers
  // The peaks of the backward pass: `mlp_backward` in addition to all(), and `attention_backward` in addition to
  // `attention`, when the MLP's block is already freed.
  int64_t mlp_backward = 0;
  int64_t attention_backward = 0;
  int64_t output = 0;  // the layer's result, held by a recomputed layer

  int64_t all() const { return attention + middle + mlp; }
};

// `shape.tokens`: tokens of one forward; with streaming those of a segment.
LayerBytes count_layer_bytes(const config::ModelConfig& model, const StepShape& shape, const LayerTypes& types);

}  // namespace hici::plan
