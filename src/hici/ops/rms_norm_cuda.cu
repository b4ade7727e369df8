// SPDX-License-Identifier: Apache-2.0
// RMSNorm, with the residual addition in front of it: one block for each row in the forward, which reads it twice, the
// second time from the cache; in the backward a block walks many rows, so that dweight costs one atomic for each block
// and column.
#include "hici/ops/cuda_types.cuh"

#include <algorithm>

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBackwardThreads = 512;

// ------------------------------------------------------------------------------------- what a thread does to a pack

template <typename T, int N>
__device__ Pack<T, N> sum_of(const Pack<T, N>& a, const Pack<T, N>& b) {
  Pack<T, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) out.at[j] = static_cast<T>(static_cast<Wide<T>>(a.at[j]) + static_cast<Wide<T>>(b.at[j]));
  return out;
}

template <typename T, int N>
__device__ Wide<T> squares_of(const Pack<T, N>& x) {
  Wide<T> squares = 0;
#pragma unroll
  for (int j = 0; j < N; ++j) squares += static_cast<Wide<T>>(x.at[j]) * static_cast<Wide<T>>(x.at[j]);
  return squares;
}

template <typename T, int N>
__device__ Pack<T, N> normed(const Pack<T, N>& x, Wide<T> scale, const Pack<T, N>& weight) {
  Pack<T, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j)
    out.at[j] = static_cast<T>(static_cast<Wide<T>>(x.at[j]) * scale * static_cast<Wide<T>>(weight.at[j]));
  return out;
}

// The pack's part of sum(g n), n = x scale and g = dy weight; dweight += dy n.
template <typename T, int N>
__device__ Wide<T> add_products(const Pack<T, N>& x, const Pack<T, N>& dy, const Pack<T, N>& weight, Wide<T> scale,
                                float (&dweight)[N]) {
  Wide<T> along = 0;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const Wide<T> n = static_cast<Wide<T>>(x.at[j]) * scale, upstream = static_cast<Wide<T>>(dy.at[j]);
    along += upstream * static_cast<Wide<T>>(weight.at[j]) * n;
    dweight[j] += static_cast<float>(upstream * n);
  }
  return along;
}

// past + scale (g - n along), along = mean(g n).
template <typename T, int N>
__device__ Pack<T, N> gradient(const Pack<T, N>& x, const Pack<T, N>& dy, const Pack<T, N>& past,
                               const Pack<T, N>& weight, Wide<T> scale, Wide<T> along) {
  Pack<T, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const Wide<T> n = static_cast<Wide<T>>(x.at[j]) * scale;
    const Wide<T> g = static_cast<Wide<T>>(dy.at[j]) * static_cast<Wide<T>>(weight.at[j]);
    out.at[j] = static_cast<T>(static_cast<Wide<T>>(past.at[j]) + scale * (g - n * along));
  }
  return out;
}

// ------------------------------------------------------------------------------------------------------- wide rows

// `delta` may be null: then `sum` is x and is not written.
template <typename T, int N>
__global__ void rms_norm_forward(RmsNormShape shape, const T* x, const T* delta, const T* weight, Wide<T> eps, T* sum,
                                 T* out, float* rstd) {
  using A = Wide<T>;
  const int64_t base = blockIdx.x * shape.width;
  A squares = 0;
  for (int64_t i = threadIdx.x * N; i < shape.width; i += kThreads * N) {
    Pack<T, N> row = load_pack<T, N>(x + base + i);
    if (delta != nullptr) {
      row = sum_of(row, load_pack<T, N>(delta + base + i));
      store_pack(sum + base + i, row);
    }
    squares += squares_of(row);
  }
  const A scale = A(1) / sqrt(block_sum<kThreads>(squares) / static_cast<A>(shape.width) + eps);
  if (threadIdx.x == 0) rstd[blockIdx.x] = static_cast<float>(scale);
  const T* from = delta != nullptr ? sum : x;  // each thread reads back what it wrote
  for (int64_t i = threadIdx.x * N; i < shape.width; i += kThreads * N) {
    store_pack(out + base + i, normed(load_pack<T, N>(from + base + i), scale, load_pack<T, N>(weight + i)));
  }
}

// What the backward reads of one row: a thread's packs of it.
template <typename T, int N, int kChunks>
struct BackwardRow {
  Pack<T, N> x[kChunks], dy[kChunks], beside[kChunks], past[kChunks];
  float scale;
};

// `dsum`, the gradient that reaches x past the norm, may be null; `dbeside`, a second one of the result, is read where
// kBeside (it takes registers). A thread has the same columns in every row: kChunks packs of them, whose weight and
// share of dweight stay in registers. The next row is under way while a row is worked on: a block waits for sums, not
// for memory.
template <typename T, int N, int kChunks, bool kBeside>
__global__ void __launch_bounds__(kBackwardThreads, kChunks == 1 ? 2 : 1)
    rms_norm_backward(RmsNormShape shape, const T* dy, const T* dbeside, const T* dsum, const T* x, const T* weight,
                      const float* rstd, T* dx, float* dweight) {
  using A = Wide<T>;
  constexpr int kUnroll = kChunks <= 4 ? kChunks : 1;  // more would not stay in registers anyway
  auto column = [](int chunk) { return (static_cast<int64_t>(chunk) * kBackwardThreads + threadIdx.x) * N; };
  auto load = [&](int64_t row) {
    BackwardRow<T, N, kChunks> out = {};
    if (row >= shape.rows) return out;
    out.scale = rstd[row];
#pragma unroll kUnroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int64_t i = column(chunk), at = row * shape.width + i;
      if (i >= shape.width) break;
      out.x[chunk] = load_pack<T, N>(x + at);
      out.dy[chunk] = load_pack<T, N>(dy + at);
      if constexpr (kBeside) out.beside[chunk] = load_pack<T, N>(dbeside + at);
      if (dsum != nullptr) out.past[chunk] = load_pack<T, N>(dsum + at);
    }
    return out;
  };
  float dweight_part[kChunks][N] = {};
  Pack<T, N> w[kChunks] = {};
#pragma unroll kUnroll
  for (int chunk = 0; chunk < kChunks; ++chunk)
    if (column(chunk) < shape.width) w[chunk] = load_pack<T, N>(weight + column(chunk));

  BackwardRow<T, N, kChunks> next = load(blockIdx.x);
  for (int64_t row = blockIdx.x; row < shape.rows; row += gridDim.x) {
    BackwardRow<T, N, kChunks> now = next;
    next = load(row + gridDim.x);
    if constexpr (kBeside) {
#pragma unroll kUnroll
      for (int chunk = 0; chunk < kChunks; ++chunk) now.dy[chunk] = sum_of(now.dy[chunk], now.beside[chunk]);
    }
    const A scale = static_cast<A>(now.scale);
    A along = 0;
#pragma unroll kUnroll
    for (int chunk = 0; chunk < kChunks; ++chunk)
      along += add_products(now.x[chunk], now.dy[chunk], w[chunk], scale, dweight_part[chunk]);
    along = block_sum<kBackwardThreads>(along) / static_cast<A>(shape.width);
#pragma unroll kUnroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (column(chunk) >= shape.width) break;
      store_pack(dx + row * shape.width + column(chunk),
                 gradient(now.x[chunk], now.dy[chunk], now.past[chunk], w[chunk], scale, along));
    }
  }
#pragma unroll kUnroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    if (column(chunk) >= shape.width) break;
#pragma unroll
    for (int j = 0; j < N; ++j) atomicAdd(dweight + column(chunk) + j, dweight_part[chunk][j]);
  }
}

// ---------------------------------------------------------------------------------------------------- narrow rows
// Rows of at most 32 packs, as the heads of QK-norm are: kLanes threads of one warp share a row, a pack each.

constexpr int kNarrowThreads = 256;

template <int kLanes, typename A>
__device__ A lane_sum(A value) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

template <typename T, int N, int kLanes>
__global__ void __launch_bounds__(kNarrowThreads)
    narrow_forward(RmsNormShape shape, const T* x, const T* delta, const T* weight, Wide<T> eps, T* sum, T* out,
                   float* rstd) {
  using A = Wide<T>;
  constexpr int kRows = kNarrowThreads / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kLanes;
  const bool has_part = row < shape.rows && lane * N < shape.width;  // every lane takes part in the sums
  const int64_t at = row * shape.width + lane * N;
  Pack<T, N> values = {};
  A squares = 0;
  if (has_part) {
    values = load_pack<T, N>(x + at);
    if (delta != nullptr) {
      values = sum_of(values, load_pack<T, N>(delta + at));
      store_pack(sum + at, values);
    }
    squares = squares_of(values);
  }
  const A scale = A(1) / sqrt(lane_sum<kLanes>(squares) / static_cast<A>(shape.width) + eps);
  if (!has_part) return;
  if (lane == 0) rstd[row] = static_cast<float>(scale);
  store_pack(out + at, normed(values, scale, load_pack<T, N>(weight + lane * N)));
}

template <typename T, int N, int kLanes>
__global__ void __launch_bounds__(kNarrowThreads)
    narrow_backward(RmsNormShape shape, const T* dy, const T* dbeside, const T* dsum, const T* x, const T* weight,
                    const float* rstd, T* dx, float* dweight) {
  using A = Wide<T>;
  constexpr int kRows = kNarrowThreads / kLanes;
  __shared__ float dweight_sum[kLanes * N];
  for (int i = static_cast<int>(threadIdx.x); i < kLanes * N; i += kNarrowThreads) dweight_sum[i] = 0;
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const bool in_row = lane * N < shape.width;
  float dweight_part[N] = {};
  Pack<T, N> w = {};
  if (in_row) w = load_pack<T, N>(weight + lane * N);
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kRows; first < shape.rows;
       first += static_cast<int64_t>(gridDim.x) * kRows) {
    const int64_t row = first + threadIdx.x / kLanes, at = row * shape.width + lane * N;
    const bool has_part = in_row && row < shape.rows;  // every lane takes part in the sums
    Pack<T, N> px = {}, pdy = {}, past = {};
    A scale = 0, along = 0;
    if (has_part) {
      px = load_pack<T, N>(x + at);
      pdy = load_pack<T, N>(dy + at);
      if (dbeside != nullptr) pdy = sum_of(pdy, load_pack<T, N>(dbeside + at));
      if (dsum != nullptr) past = load_pack<T, N>(dsum + at);
      scale = static_cast<A>(rstd[row]);
    }
    along = add_products(px, pdy, w, scale, dweight_part);
    along = lane_sum<kLanes>(along) / static_cast<A>(shape.width);
    if (has_part) store_pack(dx + at, gradient(px, pdy, past, w, scale, along));
  }
#pragma unroll
  for (int j = 0; j < N; ++j) atomicAdd(dweight_sum + lane * N + j, dweight_part[j]);
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < shape.width; i += kNarrowThreads)
    atomicAdd(dweight + i, dweight_sum[i]);
}

template <typename T, int N, int kLanes>
cudaError_t forward_of_narrow(const RmsNormShape& shape, const RmsNormForward& p, cudaStream_t stream) {
  constexpr int64_t kRows = kNarrowThreads / kLanes;
  narrow_forward<T, N, kLanes><<<static_cast<unsigned>((shape.rows + kRows - 1) / kRows), kNarrowThreads, 0, stream>>>(
      shape, static_cast<const T*>(p.x), static_cast<const T*>(p.delta), static_cast<const T*>(p.weight),
      static_cast<Wide<T>>(p.eps), static_cast<T*>(p.sum), static_cast<T*>(p.normed), p.rstd);
  return cudaGetLastError();
}

template <typename T, int N, int kLanes>
cudaError_t backward_of_narrow(const RmsNormShape& shape, const RmsNormBackward& p, cudaStream_t stream) {
  constexpr int64_t kRows = kNarrowThreads / kLanes, kMostBlocks = 1056;  // eight for each multiprocessor
  const auto blocks = static_cast<unsigned>(std::min((shape.rows + kRows - 1) / kRows, kMostBlocks));
  narrow_backward<T, N, kLanes><<<blocks, kNarrowThreads, 0, stream>>>(
      shape, static_cast<const T*>(p.dnormed), static_cast<const T*>(p.dbeside), static_cast<const T*>(p.dsum),
      static_cast<const T*>(p.x), static_cast<const T*>(p.weight), p.rstd, static_cast<T*>(p.dx), p.dweight);
  return cudaGetLastError();
}

// -------------------------------------------------------------------------------------------------------- launching

template <typename T, int N>
cudaError_t forward(const RmsNormShape& shape, const RmsNormForward& p, cudaStream_t stream) {
  if (shape.width <= 16 * N) return forward_of_narrow<T, N, 16>(shape, p, stream);
  if (shape.width <= 32 * N) return forward_of_narrow<T, N, 32>(shape, p, stream);
  rms_norm_forward<T, N><<<static_cast<unsigned>(shape.rows), kThreads, 0, stream>>>(
      shape, static_cast<const T*>(p.x), static_cast<const T*>(p.delta), static_cast<const T*>(p.weight),
      static_cast<Wide<T>>(p.eps), static_cast<T*>(p.sum), static_cast<T*>(p.normed), p.rstd);
  return cudaGetLastError();
}

template <typename T, int N, int kChunks>
cudaError_t backward_in_chunks(const RmsNormShape& shape, const RmsNormBackward& p, cudaStream_t stream) {
  constexpr int64_t kMostBlocks = 264;  // two for each multiprocessor of a Hopper card: as many as it holds
  const auto blocks = static_cast<unsigned>(std::min(shape.rows, kMostBlocks));
  const auto kernel =
      p.dbeside != nullptr ? rms_norm_backward<T, N, kChunks, true> : rms_norm_backward<T, N, kChunks, false>;
  kernel<<<blocks, kBackwardThreads, 0, stream>>>(
      shape, static_cast<const T*>(p.dnormed), static_cast<const T*>(p.dbeside), static_cast<const T*>(p.dsum),
      static_cast<const T*>(p.x), static_cast<const T*>(p.weight), p.rstd, static_cast<T*>(p.dx), p.dweight);
  return cudaGetLastError();
}

// Up to 16,384 columns; wider rows are no hidden size of ours.
template <typename T, int N>
cudaError_t backward(const RmsNormShape& shape, const RmsNormBackward& p, cudaStream_t stream) {
  if (shape.width <= 16 * N) return backward_of_narrow<T, N, 16>(shape, p, stream);
  if (shape.width <= 32 * N) return backward_of_narrow<T, N, 32>(shape, p, stream);
  const int64_t chunks = (shape.width + kBackwardThreads * N - 1) / (kBackwardThreads * N);
  if (chunks <= 1) return backward_in_chunks<T, N, 1>(shape, p, stream);
  if (chunks <= 2) return backward_in_chunks<T, N, 2>(shape, p, stream);
  if (chunks <= 4) return backward_in_chunks<T, N, 4>(shape, p, stream);
  if (chunks <= 32) return backward_in_chunks<T, N, 32>(shape, p, stream);  // unpacked: slow, and only for odd widths
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
    return packs<T>(shape.width, p.dnormed, p.dbeside, p.dsum, p.x, p.weight, p.dx)
               ? backward<T, kPackSize<T>>(shape, p, stream)
               : backward<T, 1>(shape, p, stream);
  });
}

}  // namespace hici::ops::cuda
