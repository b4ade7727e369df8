// SPDX-License-Identifier: Apache-2.0
// From projections to the inputs of attention: QK-norm (Qwen3), rotary embedding, and the prefix slots concatenated
// before each segment. Reference: project_qkv() and hici_attention() of the reference.
// B batch, T tokens, G segments (B * T / S), S tokens per segment, P prefix slots, K keys per segment, H heads, J kv
// heads, D head dim
#pragma once

#include "hici/ops/rotary.h"

namespace hici::ops {

struct QkvProjections {
  at::Tensor q_BTHD, k_BTJD, v_BTJD;              // of the tokens; v is [G, S, J, D] where v_has_prefix_rows
  at::Tensor slot_k_GPJD = {}, slot_v_GPJD = {};  // of the slots: no norm, no rotation; undefined: no prefix
  at::Tensor q_norm = {}, k_norm = {};            // [D] weights of an RMSNorm over each head; undefined: none
  double norm_eps = 0;
  bool v_has_prefix_rows = false;  // each segment of v has P free rows before it; the slots are written there
};

struct AttentionHeads {
  at::Tensor q_GSHD;
  at::Tensor k_GKJD, v_GKJD;  // K = P + S with slots before the tokens; K = S without
  // A separate prefix, for backends that do not read it concatenated (has_separate_prefix()).
  at::Tensor slot_k_GPJD = {}, slot_v_GPJD = {};
};

// Rotates x [G, S, heads, D] into y of the same shape; sign -1 is the inverse. The stride between segments is free in
// both. Token g * S + s uses row (g * S + s) mod T of the tables. No gradients.
void rotate_into(const at::Tensor& x, const RotaryTables& tables, double sign, at::Tensor& y);

struct NormedHeads {
  at::Tensor q_BTHD, k_BTJD;
};
// q and k after their norms, where they have any.
NormedHeads normed_heads(const QkvProjections& in);

// QK-norm, rotation and concatenation of the prefix. Row t of `tables` belongs to token t of every sequence. With a
// prefix of P slots q gets P leading rows (segment_padding.h). Hand-written backward; saves the projections of q and k
// only where there is a norm.
AttentionHeads prepare_qkv(const QkvProjections& in, const RotaryTables& tables, int64_t segment_length);

}  // namespace hici::ops
