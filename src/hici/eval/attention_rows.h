// SPDX-License-Identifier: Apache-2.0
// Rows of the softmax of one segment's attention over [global slots, local slots, own tokens], in blocks of queries and
// keys. Memory is that of one block of scores, for any length of the segment.
// S tokens, P slots, H query heads over J key heads, R = H / J, D head dim, X the three parts
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace hici::eval {

// Inputs of attention, in any floating type. Computation is in float32, or in float64 for float64.
struct SegmentHeads {
  at::Tensor q_SHD;
  at::Tensor k_SJD;        // own tokens
  at::Tensor slot_k_PJD;   // undefined: the segment has no prefix
  int64_t num_global = 0;  // the first of the slots
  int64_t block = 512;     // queries and keys of a block
};

// X, in this order: global slots, local slots, own tokens.
constexpr int64_t kAttentionParts = 3;

// Queries [begin, begin + count) of a segment and their softmax, given the LSE of each row.
class AttentionRows {
 public:
  // count <= block.
  AttentionRows(const SegmentHeads& heads, int64_t begin, int64_t count);

  // The share of each part in every row, [X, H, count]. The parts of a row add up to 1.
  at::Tensor shares_XHq() const;
  // Weights of the slots, [H, count, P]; undefined without any.
  at::Tensor slot_weights_HqP() const;
  // Calls `use(weights_Hqk, first key)` for each visible block of own tokens; a key after its query has weight 0.
  void for_each_token_block(const std::function<void(const at::Tensor&, int64_t)>& use) const;

 private:
  at::Tensor scores_JRqk(const at::Tensor& k_KJD) const;
  void for_each_score_block(const std::function<void(const at::Tensor&, int64_t)>& use) const;

  const SegmentHeads& heads_;
  int64_t begin_, count_;
  at::Tensor q_JYD_;             // Y = R * count; times 1/sqrt(D)
  at::Tensor slot_scores_JRqP_;  // undefined without slots
  at::Tensor log_sums_XJRq_, total_JRq_;
};

}  // namespace hici::eval
