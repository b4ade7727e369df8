// SPDX-License-Identifier: Apache-2.0
// The decode step. All its inputs and outputs have fixed addresses, so on a GPU it is recorded once and replayed
// (device/device_graph.h).
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
  double context_factor = 1;          // of RoPE, for the cached keys
  config::DualChunk dual_chunk = {};  // for kDca

  bool operator==(const SessionShape&) const = default;
};

class DecodeSession {
 public:
  // The model must outlive this object. A cache that does not fit in the device's memory is an error with its size.
  DecodeSession(const nn::CausalLm& model, const SessionShape& shape);

  const SessionShape& shape() const { return shape_; }
  const nn::KvCache& cache() const { return cache_; }
  at::Tensor& tokens_B() { return tokens_B_; }  // int64: input of the next step
  // int64: positions of these tokens in their sequences. Must be below capacity - num_slots; not checked.
  at::Tensor& positions_B() { return positions_B_; }
  const at::Tensor& logits_BV() const { return logits_BV_; }  // in the model's type
  const at::Tensor& finite_B() const { return finite_B_; }    // bool: whether each sequence's logits are finite

  // Adds the tokens to the cache, computes the logits of the next tokens, and increments the positions. On a GPU it
  // queues work and does not wait.
  void advance() { step_.run(); }
  // Logits of sequence b from the last hidden state [1, C] of its prefill.
  void set_logits(int64_t b, const at::Tensor& hidden_1C);

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
