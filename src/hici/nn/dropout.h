// SPDX-License-Identifier: Apache-2.0
// Dropout before adapters (--lora_dropout), as a forward pass has it: y = W x + scale B A dropout(x), where dropout
// zeroes channels with probability `rate` and divides the others by 1 - rate. Which they are follows from seed and
// step, the adapter, and the place of a row in the step: from the number of its sequence over all processes, and from
// its own number in the sequence (ops/adapter_dropout.h).
#pragma once

#include "hici/ops/adapter_dropout.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace hici::nn {

struct Dropout {
  double rate = 0;                      // 0: none
  uint64_t key = 0;                     // of seed and step
  std::vector<int64_t> sequences = {};  // of each of the batch: its number in the step
  // Of each sequence `units` are here, from number `first` on: tokens or segments, whichever; a module whose rows are
  // others (slots, statistics) has as many for each unit or whole number of units.
  int64_t first = 0, units = 1;
  bool is_of_slots = false;  // a module that tokens and slots go through drops others of these

  bool any() const { return rate > 0; }
  // For a module's input of `rows` rows, in the order sequence, unit.
  ops::AdapterDropout of_rows(int64_t rows, at::Device device) const;
};

// While it exists the adapters that the calling thread runs have this dropout; without one they have none. What runs in
// the backward pass again, in another thread, makes its own.
class DropoutScope {
 public:
  explicit DropoutScope(Dropout dropout);
  ~DropoutScope();
  DropoutScope(const DropoutScope&) = delete;
  DropoutScope& operator=(const DropoutScope&) = delete;

  static const Dropout& current();
  // The current one for slots instead of tokens; for other units of the same sequences; for one of several sequences in
  // a row of the batch, that begins there.
  static Dropout for_slots();
  static Dropout for_units(int64_t first, int64_t units);
  static Dropout for_sequence(int64_t row_of_batch, int64_t begin);

 private:
  Dropout previous_;
};

}  // namespace hici::nn
