// SPDX-License-Identifier: Apache-2.0
// Rotary embedding: one thread for each pair of elements.
#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void rotary(RotaryShape shape, int64_t pairs, const T* x, const Wide<T>* cos, const Wide<T>* sin,
                       Wide<T> sign, T* y) {
  using A = Wide<T>;
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (pair >= pairs) return;
  const int64_t half = shape.head_dim / 2;
  const int64_t column = pair % half, row = pair / half;  // row: (batch, token, head)
  const int64_t token = row / shape.heads % shape.tokens;
  const int64_t first = row * shape.head_dim + column, second = first + half;
  const A c = cos[token * half + column], s = sign * sin[token * half + column];
  const A a = static_cast<A>(x[first]), b = static_cast<A>(x[second]);
  y[first] = static_cast<T>(a * c - b * s);
  y[second] = static_cast<T>(b * c + a * s);
}

}  // namespace

cudaError_t launch_rotary(ElementType type, RotaryShape shape, const void* x, const void* cos, const void* sin,
                          double sign, void* y, cudaStream_t stream) {
  const int64_t pairs = shape.batch * shape.tokens * shape.heads * (shape.head_dim / 2);
  const auto blocks = static_cast<unsigned>((pairs + kThreads - 1) / kThreads);
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    rotary<T><<<blocks, kThreads, 0, stream>>>(shape, pairs, static_cast<const T*>(x), static_cast<const Wide<T>*>(cos),
                                               static_cast<const Wide<T>*>(sin), static_cast<Wide<T>>(sign),
                                               static_cast<T*>(y));
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
