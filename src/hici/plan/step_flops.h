// SPDX-License-Identifier: Apache-2.0
// Floating-point operations of a training step, computed from shapes. Products only; an addition and a multiplication
// are two operations. Not counted are norms, rotary embedding, softmax and the like, and the zeros of the
// block-diagonal matrix of slots on a CPU. Forward of B sequences of T tokens:
//
//   linear     2 in out per token for each projection and each matrix of the MLP, plus 2 r (in + out) for an adapter
//   attention  4 H D per pair of a query and a visible key; a segment has S (S + 1) / 2 + S P pairs
//   hici       absorbed local construction: 4 C M h per token (scores and means), 2 M C E per segment for the values
//              and the same for the projection back to C, and terms independent of the sequence; the integrator on 5
//              statistics and K queries for each of its rows; slots through the layer's key and value projections
//   loss       2 C V per token for the logits
//
// Backward: the same again for frozen weights (gradients of the inputs), twice that for trained weights: adapters and
// HiCI modules. Attention: 2.5 times its forward, for scores once more and four gradients. The loss computes the
// gradient of its input beside the logits, 2 C V, plus 2 C V for a trained head. The gradient of the embedding is a
// scatter. Recompute of a layer is its forward once more.
//
// C hidden, F MLP, V vocabulary, H heads, J kv heads, D head dim, S segment, P slots before it, M local slots, K global
// slots, E bottleneck, h heads of HiCI, r rank of the adapters
#pragma once

#include "hici/config/hici_config.h"
#include "hici/nn/attention/attention_kind.h"

#include <optional>

namespace hici::plan {

struct StepShape {
  int64_t batch = 1;
  int64_t tokens = 0;  // of one sequence
  nn::AttentionKind attention = nn::AttentionKind::kFull;
  int64_t segment_length = 0;              // divides `tokens`; ignored by kFull
  std::optional<config::HiciConfig> hici;  // of kHici
  int64_t lora_rank = 0;                   // on q, k, v and o of the attention and of HiCI; 0: none
  bool trains_head = false;                // the head is the trained embedding
  bool has_dropout = false;                // of adapters
};

struct PartFlops {
  double linear = 0;
  double attention = 0;
  double hici = 0;
  double loss = 0;

  double total() const { return linear + attention + hici + loss; }
};

struct StepFlops {
  PartFlops forward;
  PartFlops backward;

  // Operations of the mathematics of a step.
  double model() const { return forward.total() + backward.total(); }
  // The second forward of the layers if all of them are recomputed.
  double recomputation() const { return forward.total() - forward.loss; }
};

// Gradients reach every layer's input, as they do when the embedding is trained.
StepFlops count_step_flops(const config::ModelConfig& model, const StepShape& shape);

// Pairs of a query and a visible key in one sequence, per head, as a mean over heads.
double count_attention_pairs(const StepShape& shape);

bool has_hierarchy(const StepShape& shape);

}  // namespace hici::plan
