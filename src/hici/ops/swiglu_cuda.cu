// SPDX-License-Identifier: Apache-2.0
// silu(gate) * up and its two gradients, one pass each.
#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256;

unsigned blocks_for(int64_t count) { return static_cast<unsigned>((count + kThreads - 1) / kThreads); }

template <typename T>
__global__ void swiglu_forward(int64_t count, const T* gate, const T* up, T* y) {
  using A = Wide<T>;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const A g = static_cast<A>(gate[i]);
  y[i] = static_cast<T>(g / (A(1) + exp(-g)) * static_cast<A>(up[i]));
}

template <typename T>
__global__ void swiglu_backward(int64_t count, const T* dy, const T* gate, const T* up, T* dgate, T* dup) {
  using A = Wide<T>;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const A g = static_cast<A>(gate[i]), upstream = static_cast<A>(dy[i]);
  const A sigmoid = A(1) / (A(1) + exp(-g));
  dup[i] = static_cast<T>(upstream * g * sigmoid);
  dgate[i] = static_cast<T>(upstream * static_cast<A>(up[i]) * sigmoid * (A(1) + g * (A(1) - sigmoid)));
}

}  // namespace

cudaError_t launch_swiglu_forward(ElementType type, int64_t count, const void* gate, const void* up, void* y,
                                  cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    swiglu_forward<T><<<blocks_for(count), kThreads, 0, stream>>>(count, static_cast<const T*>(gate),
                                                                  static_cast<const T*>(up), static_cast<T*>(y));
    return cudaGetLastError();
  });
}

cudaError_t launch_swiglu_backward(ElementType type, int64_t count, const void* dy, const void* gate, const void* up,
                                   void* dgate, void* dup, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    swiglu_backward<T><<<blocks_for(count), kThreads, 0, stream>>>(
        count, static_cast<const T*>(dy), static_cast<const T*>(gate), static_cast<const T*>(up),
        static_cast<T*>(dgate), static_cast<T*>(dup));
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
