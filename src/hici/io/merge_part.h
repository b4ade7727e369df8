// SPDX-License-Identifier: Apache-2.0
// One weight of a merged model: where it comes from, and what the adapter makes of it.
#pragma once

#include "hici/io/folded_weights.h"
#include "hici/io/tensor_source.h"

#include <optional>
#include <string>

namespace hici::io {

struct MergePart {
  std::string name;
  const TensorSource* source;   // of the weight, folded where no layer computes with the factors
  const TensorSource* adapter;  // of the factors
  std::optional<Fold> fold;     // nothing: the weight as it is
  bool is_in_source;            // the source has folded it
  at::ScalarType dtype;         // of what read() gives
  const char* way_out;          // where float16 cannot hold it

  // Whether read() rounds.
  bool is_rounded() const;
  // W + lora_scale B A, rounded once. Damaged weights, or values that the type cannot hold, are an error.
  at::Tensor read() const;

 private:
  [[noreturn]] void fail_not_finite() const;
  at::Tensor with_factors() const;
};

}  // namespace hici::io
