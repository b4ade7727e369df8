// SPDX-License-Identifier: Apache-2.0
// Floating-point operations of a training step, counted from the shapes: products only, an addition and a
// multiplication are two. Norms, rotary embedding, softmax and the like are not counted, nor are the zeros among which
// attention on a CPU puts the slots. For one pass over B sequences of T tokens, forward:
//
//   linear     2 in out a token for each projection and each matrix of the MLP, 2 r (in + out) more for an adapter
//   attention  4 H D for each pair of a query and a key that it sees; S (S + 1) / 2 + S P pairs in a segment
//   hici       absorbed local construction: 4 C M h a token (scores and means), 2 M C E a segment for the values and
//              as much for the way back to C, and what does not depend on the sequence; the integrator on 5 statistics
//              and K queries for each of its rows; slots through the layer's key and value projections
//   loss       2 C V a token for the logits
//
// Backward: as much again where weights are frozen (gradients of the inputs), twice where they are trained: adapters
// and HiCI modules. Attention 2.5 times its forward: scores once more, and four gradients. The loss forms the gradient
// of its input beside the logits, 2 C V, and 2 C V more where the head is trained. The gradient of the embedding is a
// scatter. Recomputing a layer is its forward once more.
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
  int64_t segment_length = 0;              // divides `tokens`; not looked at by kFull
  std::optional<config::HiciConfig> hici;  // of kHici
  int64_t lora_rank = 0;                   // on q, k, v and o of the attention and of HiCI; 0: none
  bool trains_head = false;                // the head is the trained embedding
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

  // What the mathematics of a step asks for.
  double model() const { return forward.total() + backward.total(); }
  // The layers' forward, done again in the backward pass when all of them are recomputed.
  double recomputation() const { return forward.total() - forward.loss; }
};

// Gradients reach every layer's input, as they do when the embedding is trained.
StepFlops count_step_flops(const config::ModelConfig& model, const StepShape& shape);

// Pairs of a query and a key that it sees, per head and mean over the heads, in one sequence.
double count_attention_pairs(const StepShape& shape);

bool has_hierarchy(const StepShape& shape);

}  // namespace hici::plan
