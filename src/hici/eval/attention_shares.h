// SPDX-License-Identifier: Apache-2.0
// Where attention goes: the share of global slots, local slots and own tokens in the softmax of HiCI attention, by
// layer and head, as a mean over the valid queries of all segments; and a map of one segment. Computed from the queries
// and keys of the forward itself (nn/attention_observer.h), with memory for one block of scores.
// L layers, H heads, X the three parts (attention_rows.h)
#pragma once

#include "hici/nn/attention_observer.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace hici::eval {

// The segment of the map.
struct MapPlace {
  int64_t layer = 0;
  int64_t sequence = 0;  // of the batch
  int64_t segment = 0;
  std::optional<int64_t> head = {};  // nullopt: the mean over all
  int64_t max_blocks = 64;           // at most this many blocks of pooled tokens
};

// Row i: mean attention of the queries of block i to each global slot, each local slot, and to the tokens of each
// block; a row adds up to 1. Padding queries are left out; rows of padding only are absent.
struct AttentionMap {
  int64_t num_global = 0;
  int64_t num_local = 0;
  int64_t block_tokens = 0;  // the last block may have fewer
  std::vector<std::vector<double>> rows;
};

// Sums over all observed queries.
class AttentionShares : public nn::AttentionObserver {
 public:
  AttentionShares(int64_t num_layers, int64_t num_heads, std::optional<MapPlace> place = {}, int64_t block = 512);

  void see(const nn::AttentionView& view) override;

  // [L, H, X] float64 on the host: sums over num_queries() queries.
  at::Tensor sums_LHX() const;
  int64_t num_queries() const { return num_queries_; }
  // Set after its layer was observed, if a map was requested.
  const std::optional<AttentionMap>& map() const { return map_; }

 private:
  at::Tensor sums_LHX_;  // on the device of the queries; defined after the first ones
  int64_t num_layers_, num_heads_;
  int64_t num_queries_ = 0;
  std::optional<MapPlace> place_;
  std::optional<AttentionMap> map_;
  int64_t block_;
};

}  // namespace hici::eval
