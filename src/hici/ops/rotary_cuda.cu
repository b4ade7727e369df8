// SPDX-License-Identifier: Apache-2.0
// Rotary embedding: a block for each token; a thread turns a pack of neighbouring pairs of one head.
#include "hici/ops/rotary_cuda.h"

#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {
namespace {

constexpr int kMostThreads = 256;

template <typename T, int N>
__global__ void rotary(RotaryShape shape, const T* x, const Accum<T>* cos, const Accum<T>* sin, Accum<T> sign, T* y) {
  using A = Accum<T>;
  const unsigned length = static_cast<unsigned>(shape.length), head_dim = static_cast<unsigned>(shape.head_dim);
  const unsigned half = head_dim / 2, packs = half / N, heads = static_cast<unsigned>(shape.heads);
  const unsigned segment = blockIdx.x / length, place = blockIdx.x % length;
  const int64_t row = blockIdx.x % shape.table_rows;
  const T* x_token = x + segment * shape.x_stride + static_cast<int64_t>(place) * heads * head_dim;
  T* y_token = y + segment * shape.y_stride + static_cast<int64_t>(place) * heads * head_dim;
  for (unsigned unit = threadIdx.x; unit < heads * packs; unit += blockDim.x) {
    const unsigned column = unit % packs * N, first = unit / packs * head_dim + column;
    const Pack<A, N> c = load_pack<A, N>(cos + row * half + column), s = load_pack<A, N>(sin + row * half + column);
    const Pack<T, N> a = load_pack<T, N>(x_token + first), b = load_pack<T, N>(x_token + first + half);
    Pack<T, N> turned_a, turned_b;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const A p = static_cast<A>(a.at[i]), q = static_cast<A>(b.at[i]), si = sign * s.at[i];
      turned_a.at[i] = static_cast<T>(p * c.at[i] - q * si);
      turned_b.at[i] = static_cast<T>(q * c.at[i] + p * si);
    }
    store_pack(y_token + first, turned_a);
    store_pack(y_token + first + half, turned_b);
  }
}

template <typename T, int N>
cudaError_t launch(const RotaryShape& shape, const void* x, const void* cos, const void* sin, double sign, void* y,
                   cudaStream_t stream) {
  const int64_t units = shape.heads * (shape.head_dim / 2 / N);
  const auto threads = static_cast<unsigned>(units < kMostThreads ? (units + 31) / 32 * 32 : kMostThreads);
  rotary<T, N><<<static_cast<unsigned>(shape.segments * shape.length), threads, 0, stream>>>(
      shape, static_cast<const T*>(x), static_cast<const Accum<T>*>(cos), static_cast<const Accum<T>*>(sin),
      static_cast<Accum<T>>(sign), static_cast<T*>(y));
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_rotary(ElementType type, RotaryShape shape, const void* x, const void* cos, const void* sin,
                          double sign, void* y, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    constexpr int kPack = kPackSize<T>;
    const bool packs = shape.head_dim / 2 % kPack == 0 && shape.x_stride % kPack == 0 && shape.y_stride % kPack == 0 &&
                       is_packable(x) && is_packable(y) && is_packable(cos) && is_packable(sin);
    return packs ? launch<T, kPack>(shape, x, cos, sin, sign, y, stream)
                 : launch<T, 1>(shape, x, cos, sin, sign, y, stream);
  });
}

}  // namespace hici::ops::cuda
