// SPDX-License-Identifier: Apache-2.0
// silu(gate) * up and its two gradients, one pass each, 16 bytes of each tensor to a thread.
#include "hici/ops/swiglu_cuda.h"

#include "hici/ops/cuda_types.cuh"
#include "hici/ops/swiglu_cuda.cuh"

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T, int N>
__global__ void swiglu_forward(int64_t count, const T* gate, const T* up, T* y) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (i >= count) return;
  store_pack(y + i, swiglu_of(load_pack<T, N>(gate + i), load_pack<T, N>(up + i)));
}

template <typename T, int N>
__global__ void swiglu_backward(int64_t count, const T* dy, const T* gate, const T* up, T* dgate, T* dup) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (i >= count) return;
  Pack<T, N> out_gate, out_up;
  swiglu_gradients(load_pack<T, N>(dy + i), load_pack<T, N>(gate + i), load_pack<T, N>(up + i), out_gate, out_up);
  store_pack(dgate + i, out_gate);
  store_pack(dup + i, out_up);
}

// Calls launch(pack size as a constant, blocks).
template <typename T, typename Launch>
cudaError_t in_packs(int64_t count, bool aligned, Launch&& launch) {
  constexpr int kPack = kPackSize<T>;
  auto blocks = [&](int64_t pack) { return static_cast<unsigned>((count / pack + kThreads - 1) / kThreads); };
  if (count % kPack == 0 && aligned) {
    launch(std::integral_constant<int, kPack>(), blocks(kPack));
  } else {
    launch(std::integral_constant<int, 1>(), blocks(1));
  }
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_swiglu_forward(ElementType type, int64_t count, const void* gate, const void* up, void* y,
                                  cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    const bool aligned = is_packable(gate) && is_packable(up) && is_packable(y);
    return in_packs<T>(count, aligned, [&](auto pack, unsigned blocks) {
      swiglu_forward<T, decltype(pack)::value><<<blocks, kThreads, 0, stream>>>(
          count, static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<T*>(y));
    });
  });
}

cudaError_t launch_swiglu_backward(ElementType type, int64_t count, const void* dy, const void* gate, const void* up,
                                   void* dgate, void* dup, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    const bool aligned =
        is_packable(dy) && is_packable(gate) && is_packable(up) && is_packable(dgate) && is_packable(dup);
    return in_packs<T>(count, aligned, [&](auto pack, unsigned blocks) {
      swiglu_backward<T, decltype(pack)::value>
          <<<blocks, kThreads, 0, stream>>>(count, static_cast<const T*>(dy), static_cast<const T*>(gate),
                                            static_cast<const T*>(up), static_cast<T*>(dgate), static_cast<T*>(dup));
    });
  });
}

}  // namespace hici::ops::cuda
