// SPDX-License-Identifier: Apache-2.0
// silu(gate) * up and its two gradients, for one pack of neighbouring elements.
#pragma once

#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {

template <typename T, int N>
__device__ __forceinline__ Pack<T, N> swiglu_of(const Pack<T, N>& gate, const Pack<T, N>& up) {
  using A = Accum<T>;
  Pack<T, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const A g = static_cast<A>(gate.at[j]);
    out.at[j] = static_cast<T>(g / (A(1) + exp(-g)) * static_cast<A>(up.at[j]));
  }
  return out;
}

template <typename T, int N>
__device__ __forceinline__ void swiglu_gradients(const Pack<T, N>& dy, const Pack<T, N>& gate, const Pack<T, N>& up,
                                                 Pack<T, N>& dgate, Pack<T, N>& dup) {
  using A = Accum<T>;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const A g = static_cast<A>(gate.at[j]), upstream = static_cast<A>(dy.at[j]);
    const A sigmoid = A(1) / (A(1) + exp(-g));
    dup.at[j] = static_cast<T>(upstream * g * sigmoid);
    dgate.at[j] = static_cast<T>(upstream * static_cast<A>(up.at[j]) * sigmoid * (A(1) + g * (A(1) - sigmoid)));
  }
}

}  // namespace hici::ops::cuda
