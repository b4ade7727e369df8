// SPDX-License-Identifier: Apache-2.0
// The small tensors of the backward of segment cross-attention, concatenated for one GEMM with the tokens: the weights
// then the gradient of the scores, and the gradient of the means then the queries. On the few SMs that large GEMMs
// reserve, LibTorch's kernels for unequal strides take ten times as long.
#include "hici/ops/segment_cross_attention_cuda.h"

#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256;

// A block for each row of scores, which it reads twice, the second time from the cache.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    score_gradients(ScoresShape shape, const T* weight_all, const T* dweight_all, T* joint) {
  using A = Accum<T>;
  const int64_t segment = blockIdx.x / shape.rows, row = blockIdx.x % shape.rows;
  const T* weight = weight_all + blockIdx.x * shape.length;
  const T* dweight = dweight_all + blockIdx.x * shape.length;
  T* weight_out = joint + (segment * 2 * shape.rows + row) * shape.length;
  T* dscore = weight_out + shape.rows * shape.length;
  A along = 0;
  for (int64_t i = threadIdx.x * N; i < shape.length; i += kThreads * N) {
    const Pack<T, N> w = load_pack<T, N>(weight + i), dw = load_pack<T, N>(dweight + i);
    store_pack(weight_out + i, w);
#pragma unroll
    for (int j = 0; j < N; ++j) along += static_cast<A>(w.at[j]) * static_cast<A>(dw.at[j]);
  }
  along = block_sum<kThreads>(along);
  for (int64_t i = threadIdx.x * N; i < shape.length; i += kThreads * N) {
    const Pack<T, N> w = load_pack<T, N>(weight + i), dw = load_pack<T, N>(dweight + i);
    Pack<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j)
      out.at[j] = static_cast<T>(static_cast<A>(w.at[j]) * (static_cast<A>(dw.at[j]) - along));
    store_pack(dscore + i, out);
  }
}

// A block for each row of out [segments, 2 rows, length].
template <typename T, int N>
__global__ void __launch_bounds__(kThreads) join_rows(ScoresShape shape, const T* dmean, const T* queries, T* out) {
  const int64_t segment = blockIdx.x / (2 * shape.rows), row = blockIdx.x % (2 * shape.rows);
  const T* from = row < shape.rows ? dmean + (row * shape.segments + segment) * shape.length
                                   : queries + (row - shape.rows) * shape.length;
  for (int64_t i = threadIdx.x * N; i < shape.length; i += kThreads * N)
    store_pack(out + blockIdx.x * shape.length + i, load_pack<T, N>(from + i));
}

}  // namespace

cudaError_t launch_join_rows(ElementType type, ScoresShape shape, const void* dmean, const void* queries, void* out,
                             cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    const auto kernel = packs<T>(shape.length, dmean, queries, out) ? join_rows<T, kPackSize<T>> : join_rows<T, 1>;
    kernel<<<static_cast<unsigned>(shape.segments * 2 * shape.rows), kThreads, 0, stream>>>(
        shape, static_cast<const T*>(dmean), static_cast<const T*>(queries), static_cast<T*>(out));
    return cudaGetLastError();
  });
}

cudaError_t launch_score_gradients(ElementType type, ScoresShape shape, const void* weight, const void* dweight,
                                   void* joint, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    const auto kernel =
        packs<T>(shape.length, weight, dweight, joint) ? score_gradients<T, kPackSize<T>> : score_gradients<T, 1>;
    kernel<<<static_cast<unsigned>(shape.segments * shape.rows), kThreads, 0, stream>>>(
        shape, static_cast<const T*>(weight), static_cast<const T*>(dweight), static_cast<T*>(joint));
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
