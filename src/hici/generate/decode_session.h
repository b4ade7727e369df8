// SPDX-License-Identifier: Apache-2.0
// The step of decoding, with everything that it reads and writes at fixed places: on a GPU it is recorded once and
// replayed (device/device_graph.h).
// B sequences, V vocabulary
#pragma once

#include "hici/device/device_graph.h"
#include "hici/nn/causal_lm.h"

namespace hici::generate {

struct SessionShape {
  int64_t batch = 1;
  int64_t capacity = 0;  // rows of a sequence in the cache, slots included
  int64_t num_slots = 0;
  bool decode_uses_slots = true;
  bool records_graph = true;          // on a GPU
  double context_factor = 1;          // RoPE's, with which the keys of the cache are rotated
  config::DualChunk dual_chunk = {};  // for kDca

  bool operator==(const SessionShape&) const = default;
};

class DecodeSession {
 public:
  // The model must outlive this. An error with the size when the cache has no room in the device's memory.
  DecodeSession(const nn::CausalLm& model, const SessionShape& shape);

  const SessionShape& shape() const { return shape_; }
  const nn::KvCache& cache() const { return cache_; }
  at::Tensor& tokens_B() { return tokens_B_; }  // int64: what the next step reads
  // int64: where those tokens stand in their sequences; below capacity - num_slots, which nothing checks.
  at::Tensor& positions_B() { return positions_B_; }
  const at::Tensor& logits_BV() const { return logits_BV_; }  // in the model's type
  const at::Tensor& finite_B() const { return finite_B_; }    // bool: whether each sequence's logits are finite

  // Logits behind the tokens, which enter the cache; then each position is one further. Queues work and waits for
  // nothing on a GPU.
  void advance() { step_.run(); }
  // Logits of sequence b from the hidden state [1, C] that its prefill gave.
  void set_logits(int64_t b, const at::Tensor& hidden_1C);
  // The logits of sequence `from`, which has the same tokens.
  void copy_logits(int64_t from, int64_t b);

 private:
  void step();

  const nn::CausalLm& model_;
  SessionShape shape_;
  nn::KvCache cache_;
  ops::RotaryFrequencies frequencies_;
  at::Tensor tokens_B_, positions_B_, logits_BV_, finite_B_;
  device::DeviceGraph step_;
};

}  // namespace hici::generate
