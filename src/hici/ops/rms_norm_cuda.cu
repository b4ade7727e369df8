// SPDX-License-Identifier: Apache-2.0
// RMSNorm, with the residual addition in front of it: one block for each row in the forward, which reads it twice, the
// second time from the cache; in the backward a block walks many rows, so that dweight costs one atomic for each block
// and column.
#include "hici/ops/cuda_types.cuh"

#include <algorithm>

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

template <typename A>
__device__ A block_sum(A value) {
  __shared__ A partial[kWarps];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffffu, value, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  A total = 0;
  for (int i = 0; i < kWarps; ++i) total += partial[i];
  __syncthreads();  // before the next call writes `partial` again
  return total;
}

// `delta` may be null: then `sum` is x and is not written.
template <typename T, int N>
__global__ void rms_norm_forward(RmsNormShape shape, const T* x, const T* delta, const T* weight, Wide<T> eps, T* sum,
                                 T* normed, float* rstd) {
  using A = Wide<T>;
  const int64_t base = blockIdx.x * shape.width;
  A squares = 0;
  for (int64_t i = threadIdx.x * N; i < shape.width; i += kThreads * N) {
    Pack<T, N> row = load_pack<T, N>(x + base + i);
    if (delta != nullptr) {
      const Pack<T, N> add = load_pack<T, N>(delta + base + i);
#pragma unroll
      for (int j = 0; j < N; ++j) row.at[j] = static_cast<T>(static_cast<A>(row.at[j]) + static_cast<A>(add.at[j]));
      store_pack(sum + base + i, row);
    }
#pragma unroll
    for (int j = 0; j < N; ++j) squares += static_cast<A>(row.at[j]) * static_cast<A>(row.at[j]);
  }
  const A scale = A(1) / sqrt(block_sum(squares) / static_cast<A>(shape.width) + eps);
  if (threadIdx.x == 0) rstd[blockIdx.x] = static_cast<float>(scale);
  const T* from = delta != nullptr ? sum : x;  // each thread reads back what it wrote
  for (int64_t i = threadIdx.x * N; i < shape.width; i += kThreads * N) {
    Pack<T, N> row = load_pack<T, N>(from + base + i);
    const Pack<T, N> w = load_pack<T, N>(weight + i);
#pragma unroll
    for (int j = 0; j < N; ++j) row.at[j] = static_cast<T>(static_cast<A>(row.at[j]) * scale * static_cast<A>(w.at[j]));
    store_pack(normed + base + i, row);
  }
}

// `dsum`, the gradient that reaches x past the norm, may be null. A thread has the same columns in every row: kChunks
// packs of them, whose share of dweight, and whose x and dy between the two passes, stay in registers.
template <typename T, int N, int kChunks>
__global__ void rms_norm_backward(RmsNormShape shape, const T* dy, const T* dsum, const T* x, const T* weight,
                                  const float* rstd, T* dx, float* dweight) {
  using A = Wide<T>;
  constexpr int kUnroll = kChunks <= 8 ? kChunks : 1;  // more would not stay in registers anyway
  float dweight_part[kChunks][N] = {};
  for (int64_t row = blockIdx.x; row < shape.rows; row += gridDim.x) {
    const int64_t base = row * shape.width;
    const A scale = static_cast<A>(rstd[row]);
    Pack<T, N> px[kChunks], pdy[kChunks], past[kChunks] = {};  // all loads are under way before the first sum
    A along = 0;
#pragma unroll kUnroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int64_t i = (static_cast<int64_t>(chunk) * kThreads + threadIdx.x) * N;
      if (i >= shape.width) break;
      px[chunk] = load_pack<T, N>(x + base + i);
      pdy[chunk] = load_pack<T, N>(dy + base + i);
      if (dsum != nullptr) past[chunk] = load_pack<T, N>(dsum + base + i);
      const Pack<T, N> pw = load_pack<T, N>(weight + i);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const A normed = static_cast<A>(px[chunk].at[j]) * scale, upstream = static_cast<A>(pdy[chunk].at[j]);
        along += upstream * static_cast<A>(pw.at[j]) * normed;
        dweight_part[chunk][j] += static_cast<float>(upstream * normed);
      }
    }
    along = block_sum(along) / static_cast<A>(shape.width);
#pragma unroll kUnroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int64_t i = (static_cast<int64_t>(chunk) * kThreads + threadIdx.x) * N;
      if (i >= shape.width) break;
      const Pack<T, N> pw = load_pack<T, N>(weight + i);
      Pack<T, N> out;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const A normed = static_cast<A>(px[chunk].at[j]) * scale;
        const A by_norm = scale * (static_cast<A>(pdy[chunk].at[j]) * static_cast<A>(pw.at[j]) - normed * along);
        out.at[j] = static_cast<T>(static_cast<A>(past[chunk].at[j]) + by_norm);
      }
      store_pack(dx + base + i, out);
    }
  }
#pragma unroll kUnroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int64_t i = (static_cast<int64_t>(chunk) * kThreads + threadIdx.x) * N;
    if (i >= shape.width) break;
#pragma unroll
    for (int j = 0; j < N; ++j) atomicAdd(dweight + i + j, dweight_part[chunk][j]);
  }
}

template <typename T, int N>
cudaError_t forward(const RmsNormShape& shape, const RmsNormForward& p, cudaStream_t stream) {
  rms_norm_forward<T, N><<<static_cast<unsigned>(shape.rows), kThreads, 0, stream>>>(
      shape, static_cast<const T*>(p.x), static_cast<const T*>(p.delta), static_cast<const T*>(p.weight),
      static_cast<Wide<T>>(p.eps), static_cast<T*>(p.sum), static_cast<T*>(p.normed), p.rstd);
  return cudaGetLastError();
}

template <typename T, int N, int kChunks>
cudaError_t backward_in_chunks(const RmsNormShape& shape, const RmsNormBackward& p, cudaStream_t stream) {
  constexpr int64_t kMostBlocks = 528;  // four for each multiprocessor of a Hopper card
  const auto blocks = static_cast<unsigned>(std::min(shape.rows, kMostBlocks));
  rms_norm_backward<T, N, kChunks><<<blocks, kThreads, 0, stream>>>(
      shape, static_cast<const T*>(p.dnormed), static_cast<const T*>(p.dsum), static_cast<const T*>(p.x),
      static_cast<const T*>(p.weight), p.rstd, static_cast<T*>(p.dx), p.dweight);
  return cudaGetLastError();
}

// Up to 16,384 columns in packs of 8; wider rows are no hidden size of ours.
template <typename T, int N>
cudaError_t backward(const RmsNormShape& shape, const RmsNormBackward& p, cudaStream_t stream) {
  const int64_t chunks = (shape.width + kThreads * N - 1) / (kThreads * N);
  if (chunks <= 2) return backward_in_chunks<T, N, 2>(shape, p, stream);
  if (chunks <= 4) return backward_in_chunks<T, N, 4>(shape, p, stream);
  if (chunks <= 8) return backward_in_chunks<T, N, 8>(shape, p, stream);
  if (chunks <= 64) return backward_in_chunks<T, N, 64>(shape, p, stream);  // unpacked: slow, and only for odd widths
  return cudaErrorInvalidValue;
}

// Tensors begin on 16 bytes by LibTorch's allocator; a null pointer counts as aligned.
template <typename T, typename... Pointers>
bool packs(int64_t width, Pointers... pointers) {
  return width % kPackSize<T> == 0 && (is_packable(pointers) && ...);
}

}  // namespace

cudaError_t launch_rms_norm_forward(ElementType type, RmsNormShape shape, const RmsNormForward& p,
                                    cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    return packs<T>(shape.width, p.x, p.delta, p.weight, p.sum, p.normed) ? forward<T, kPackSize<T>>(shape, p, stream)
                                                                          : forward<T, 1>(shape, p, stream);
  });
}

cudaError_t launch_rms_norm_backward(ElementType type, RmsNormShape shape, const RmsNormBackward& p,
                                     cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    return packs<T>(shape.width, p.dnormed, p.dsum, p.x, p.weight, p.dx) ? backward<T, kPackSize<T>>(shape, p, stream)
                                                                         : backward<T, 1>(shape, p, stream);
  });
}

}  // namespace hici::ops::cuda
