// SPDX-License-Identifier: Apache-2.0
// silu(gate) * up and its two gradients, for one pack of neighbouring elements.
#pragma once

#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {

// 1 / (1 + exp(-g)). For a 16-bit T by the card's short forms, whose error is far below the type's rounding: the exact
// ones take more time than memory does.
template <typename T>
__device__ __forceinline__ Accum<T> sigmoid_of(Accum<T> g) {
  if constexpr (sizeof(T) == 2) {
    return __fdividef(1.f, 1.f + __expf(-g));
  } else {
    return Accum<T>(1) / (Accum<T>(1) + exp(-g));
  }
}

template <typename T, int N>
__device__ __forceinline__ Pack<T, N> swiglu_of(const Pack<T, N>& gate, const Pack<T, N>& up) {
  using A = Accum<T>;
  Pack<T, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const A g = static_cast<A>(gate.at[j]);
    out.at[j] = static_cast<T>(g * sigmoid_of<T>(g) * static_cast<A>(up.at[j]));
  }
  return out;
}

template <typename T, int N>
__device__ __forceinline__ void swiglu_gradients(const Pack<T, N>& dy, const Pack<T, N>& gate, const Pack<T, N>& up,
                                                 Pack<T, N>& dgate, Pack<T, N>& dup) {
  using A = Accum<T>;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const A g = static_cast<A>(gate.at[j]), upstream = static_cast<A>(dy.at[j]), sigmoid = sigmoid_of<T>(g);
    dup.at[j] = static_cast<T>(upstream * g * sigmoid);
    dgate.at[j] = static_cast<T>(upstream * static_cast<A>(up.at[j]) * sigmoid * (A(1) + g * (A(1) - sigmoid)));
  }
}

}  // namespace hici::ops::cuda
