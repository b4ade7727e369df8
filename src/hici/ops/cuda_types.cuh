// SPDX-License-Identifier: Apache-2.0
// Element types of the kernels: accumulation type, 16-byte packs, dispatch.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace hici::ops::cuda {

// The type in which a kernel computes: float, or double for double.
template <typename T>
struct Accumulation {
  using type = float;
};
template <>
struct Accumulation<double> {
  using type = double;
};
template <typename T>
using Accum = typename Accumulation<T>::type;

// N neighbouring elements, moved as one where N elements are 16 bytes (more: in several moves).
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T at[N];
};

// Elements in 16 bytes.
template <typename T>
inline constexpr int kPackSize = 16 / static_cast<int>(sizeof(T));

__host__ __device__ inline bool is_packable(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

// Whether rows of `width` at all of the pointers can be moved in packs. Tensors begin on 16 bytes by LibTorch's
// allocator; a null pointer counts as aligned.
template <typename T, typename... Pointers>
bool packs(int64_t width, Pointers... pointers) {
  return width % kPackSize<T> == 0 && (is_packable(pointers) && ...);
}

template <typename T, int N>
__device__ Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}

template <typename T, int N>
__device__ void store_pack(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// The sum of `value` over a block of kBlock threads, known to all of them.
template <int kBlock, typename A>
__device__ A block_sum(A value) {
  __shared__ A partial[kBlock / 32];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffffu, value, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  A total = 0;
  for (int i = 0; i < kBlock / 32; ++i) total += partial[i];
  __syncthreads();  // before the next call writes `partial` again
  return total;
}

// Calls f with a null pointer of the element type, so that a lambda can name the type.
template <typename F>
cudaError_t dispatch(ElementType type, F&& f) {
  switch (type) {
    case ElementType::kFloat32:
      return f(static_cast<float*>(nullptr));
    case ElementType::kBFloat16:
      return f(static_cast<__nv_bfloat16*>(nullptr));
    case ElementType::kFloat16:
      return f(static_cast<__half*>(nullptr));
    case ElementType::kFloat64:
      return f(static_cast<double*>(nullptr));
  }
  return cudaErrorInvalidValue;
}

}  // namespace hici::ops::cuda
