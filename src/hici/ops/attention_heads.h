// SPDX-License-Identifier: Apache-2.0
// From projections to what attention reads: QK-norm (Qwen3), rotary embedding, and the prefix slots in front of each
// segment, written where attention reads them. Reference: project_qkv() and hici_attention() of the reference.
// B batch, T tokens, G segments (B * T / S), S tokens per segment, P prefix slots, H heads, J kv heads, D head dim
#pragma once

#include "hici/ops/rotary.h"

namespace hici::ops {

struct HeadProjections {
  at::Tensor q_BTHD, k_BTJD, v_BTJD;              // of the tokens; v [G, S, J, D] where it has room for slots
  at::Tensor slot_k_GPJD = {}, slot_v_GPJD = {};  // of the slots: neither normed nor rotated; undefined: no prefix
  at::Tensor q_norm = {}, k_norm = {};            // [D] weights of an RMSNorm over each head; undefined: none
  double norm_eps = 0;
  bool v_has_room = false;  // before each segment of v are P rows for the slots, which are written there (LinearLayout)
};

struct AttentionHeads {
  at::Tensor q_GSHD;
  at::Tensor k_GKJD, v_GKJD;  // K = P + S: slots, then tokens; or K = S
  // Slots that stand beside the tokens instead, for attention that reads them so (reads_slots_beside()).
  at::Tensor slot_k_GPJD = {}, slot_v_GPJD = {};
};

// Rotates x [G, S, heads, D] into y of the same shape; sign -1 turns back. Either may be a part of a longer buffer
// (G segments of more than S rows). Token g * S + s has row (g * S + s) mod T of the tables. No gradients.
void rotate_into(const at::Tensor& x, const RotaryTables& tables, double sign, at::Tensor& y);

struct NormedHeads {
  at::Tensor q_BTHD, k_BTJD;
};
// q and k behind their norms, where they have any.
NormedHeads normed_heads(const HeadProjections& in);

// Row t of `tables` belongs to token t of every sequence. Slots are put in front; q then has as many rows in front of
// it (front_rows.h). Hand-written backward; keeps the projections of q and k only where there is a norm.
AttentionHeads place_heads(const HeadProjections& in, const RotaryTables& tables, int64_t segment_length);

}  // namespace hici::ops
