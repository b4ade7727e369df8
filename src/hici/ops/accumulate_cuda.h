// SPDX-License-Identifier: Apache-2.0
// Launcher of gradient accumulation.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// Pairs of sums += gradients, of 16-bit types to float32. Passed by value, so its size is bounded by that of a kernel's
// arguments.
struct AccumulateList {
  static constexpr int kMaxPairs = 128;
  const void* from[kMaxPairs];
  float* to[kMaxPairs];
  int64_t count[kMaxPairs];
  unsigned first_block[kMaxPairs];
  unsigned blocks = 0;
  int pairs = 0;

  // The list must have fewer than kMaxPairs; `elements` may be 0.
  void add(const void* gradient, float* sum, int64_t elements);
};
cudaError_t launch_accumulate(ElementType type, const AccumulateList& list, cudaStream_t stream);

}  // namespace hici::ops::cuda
