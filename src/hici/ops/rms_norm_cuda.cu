// SPDX-License-Identifier: Apache-2.0
// RMSNorm, with the residual addition before it. Forward: one block per row reads the row twice, the second time from
// the cache. Backward: a block processes many rows and writes its part of dweight; a second kernel adds the parts in a
// fixed order.
#include "hici/ops/rms_norm_cuda.h"

#include "hici/ops/cuda_copies.cuh"
#include "hici/ops/cuda_types.cuh"

#include <algorithm>

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBackwardThreads = 512;
// Two and eight per SM of a Hopper card, as many as it holds.
constexpr int64_t kMaxLongRowBlocks = 264, kMaxShortRowBlocks = 1056;

// ------------------------------------------------------------------------------------- what a thread does to a pack

template <typename T, int N>
__device__ Pack<T, N> sum_of(const Pack<T, N>& a, const Pack<T, N>& b) {
  Pack<T, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j)
    out.at[j] = static_cast<T>(static_cast<Accum<T>>(a.at[j]) + static_cast<Accum<T>>(b.at[j]));
  return out;
}

template <typename T, int N>
__device__ Accum<T> squares_of(const Pack<T, N>& x) {
  Accum<T> squares = 0;
#pragma unroll
  for (int j = 0; j < N; ++j) squares += static_cast<Accum<T>>(x.at[j]) * static_cast<Accum<T>>(x.at[j]);
  return squares;
}

template <typename T, int N>
__device__ Pack<T, N> normed(const Pack<T, N>& x, Accum<T> scale, const Pack<T, N>& weight) {
  Pack<T, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j)
    out.at[j] = static_cast<T>(static_cast<Accum<T>>(x.at[j]) * scale * static_cast<Accum<T>>(weight.at[j]));
  return out;
}

// The pack's part of sum(g n), n = x scale and g = dy weight; dweight += dy n.
template <typename T, int N>
__device__ Accum<T> add_products(const Pack<T, N>& x, const Pack<T, N>& dy, const Pack<T, N>& weight, Accum<T> scale,
                                 float (&dweight)[N]) {
  Accum<T> along = 0;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const Accum<T> n = static_cast<Accum<T>>(x.at[j]) * scale, upstream = static_cast<Accum<T>>(dy.at[j]);
    along += upstream * static_cast<Accum<T>>(weight.at[j]) * n;
    dweight[j] += static_cast<float>(upstream * n);
  }
  return along;
}

// past + scale (g - n along), along = mean(g n).
template <typename T, int N>
__device__ Pack<T, N> gradient(const Pack<T, N>& x, const Pack<T, N>& dy, const Pack<T, N>& past,
                               const Pack<T, N>& weight, Accum<T> scale, Accum<T> along) {
  Pack<T, N> out;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const Accum<T> n = static_cast<Accum<T>>(x.at[j]) * scale;
    const Accum<T> g = static_cast<Accum<T>>(dy.at[j]) * static_cast<Accum<T>>(weight.at[j]);
    out.at[j] = static_cast<T>(static_cast<Accum<T>>(past.at[j]) + scale * (g - n * along));
  }
  return out;
}

// ------------------------------------------------------------------------------------------------------- long rows

// `delta` may be null: then `sum` is x and is not written.
template <typename T, int N>
__global__ void rms_norm_forward(RmsNormShape shape, const T* x, const T* delta, const T* weight, Accum<T> eps, T* sum,
                                 T* out, float* rstd) {
  using A = Accum<T>;
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

// The sum over kLanes neighbouring threads of a warp, known to all of them.
template <int kLanes, typename A>
__device__ A lane_sum(A value) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// The sum over the block, for one row after the other: `partial` is reused two rows later, after the barrier of the row
// between.
template <typename A>
__device__ A row_sum(A value, A (&partial)[2][kBackwardThreads / 32], int odd) {
  value = lane_sum<32>(value);
  if (threadIdx.x % 32 == 0) partial[odd][threadIdx.x / 32] = value;
  __syncthreads();
  A total = 0;
#pragma unroll
  for (int i = 0; i < kBackwardThreads / 32; ++i) total += partial[odd][i];
  return total;
}

// The inputs of the backward as a block reads them: the next row is copied to shared memory while the current one is
// processed. A thread reads only what it copied itself, so no barrier is needed. Rows of more than two packs per thread
// do not fit twice and are read from global memory.
template <typename T, int N, int kChunks, int kInputs>
class BackwardRows {
 public:
  static constexpr bool kStaged = kChunks <= 2 && sizeof(Pack<T, N>) == 16;
  static constexpr size_t kBytes = kStaged ? sizeof(Pack<T, N>) * 2 * kInputs * kChunks * kBackwardThreads : 0;

  __device__ BackwardRows(const RmsNormShape& shape, unsigned char* memory)
      : shape_(shape), memory_(reinterpret_cast<Pack<T, N>*>(memory)) {}

  const T* inputs[kInputs] = {};  // null: zeros

  __device__ static int64_t column(int chunk) {
    return (static_cast<int64_t>(chunk) * kBackwardThreads + threadIdx.x) * N;
  }
  // Of row `row`, the `turn`-th of this block.
  __device__ void fetch(int64_t row, int turn) const {
    if constexpr (kStaged) {
#pragma unroll
      for (int i = 0; i < kInputs; ++i)
#pragma unroll
        for (int chunk = 0; chunk < kChunks; ++chunk)
          if (row < shape_.rows && column(chunk) < shape_.width && inputs[i] != nullptr)
            copy_async(place(i, chunk, turn), inputs[i] + row * shape_.width + column(chunk));
      commit_copies();
    }
  }
  // The row before the one that was fetched last.
  __device__ void wait() const {
    if constexpr (kStaged) wait_for_copies<1>();
  }
  __device__ Pack<T, N> read(int input, int chunk, int64_t row, int turn) const {
    if (inputs[input] == nullptr) return {};
    if constexpr (kStaged) return *place(input, chunk, turn);
    return load_pack<T, N>(inputs[input] + row * shape_.width + column(chunk));
  }

 private:
  __device__ Pack<T, N>* place(int input, int chunk, int turn) const {
    return memory_ + ((turn % 2 * kInputs + input) * kChunks + chunk) * kBackwardThreads + threadIdx.x;
  }

  const RmsNormShape& shape_;
  Pack<T, N>* memory_;
};

// `dsum`, the gradient of the sum, may be null. `dnormed2` is read where kHasDnormed2. A thread has the same columns in
// every row: kChunks packs, whose weight and part of dweight stay in registers. dweight_parts [blocks, width]
template <typename T, int N, int kChunks, bool kHasDnormed2>
__global__ void __launch_bounds__(kBackwardThreads, kChunks == 1 ? 2 : 1)
    rms_norm_backward(RmsNormShape shape, const T* dy, const T* dnormed2, const T* dsum, const T* x, const T* weight,
                      const float* rstd, T* dx, float* dweight_parts) {
  using A = Accum<T>;
  constexpr int kUnroll = kChunks <= 4 ? kChunks : 1;  // more would not stay in registers anyway
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ A partial[2][kBackwardThreads / 32];
  using Rows = BackwardRows<T, N, kChunks, kHasDnormed2 ? 4 : 3>;
  Rows rows(shape, memory);
  rows.inputs[0] = x;
  rows.inputs[1] = dy;
  rows.inputs[2] = dsum;
  if constexpr (kHasDnormed2) rows.inputs[3] = dnormed2;
  auto column = [](int chunk) { return Rows::column(chunk); };
  float dweight_part[kChunks][N] = {};
  Pack<T, N> w[kChunks] = {};
#pragma unroll kUnroll
  for (int chunk = 0; chunk < kChunks; ++chunk)
    if (column(chunk) < shape.width) w[chunk] = load_pack<T, N>(weight + column(chunk));

  rows.fetch(blockIdx.x, 0);
  float next_scale = rstd[blockIdx.x];
  int turn = 0;
  for (int64_t row = blockIdx.x; row < shape.rows; row += gridDim.x, ++turn) {
    const A scale = static_cast<A>(next_scale);
    if (row + gridDim.x < shape.rows) next_scale = rstd[row + gridDim.x];
    rows.fetch(row + gridDim.x, turn + 1);
    rows.wait();
    Pack<T, N> row_x[kChunks] = {}, row_dy[kChunks] = {};
    A along = 0;
#pragma unroll kUnroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (column(chunk) >= shape.width) break;
      row_x[chunk] = rows.read(0, chunk, row, turn);
      row_dy[chunk] = rows.read(1, chunk, row, turn);
      if constexpr (kHasDnormed2) row_dy[chunk] = sum_of(row_dy[chunk], rows.read(3, chunk, row, turn));
      along += add_products(row_x[chunk], row_dy[chunk], w[chunk], scale, dweight_part[chunk]);
    }
    along = row_sum(along, partial, turn % 2) / static_cast<A>(shape.width);
#pragma unroll kUnroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (column(chunk) >= shape.width) break;
      store_pack(dx + row * shape.width + column(chunk),
                 gradient(row_x[chunk], row_dy[chunk], rows.read(2, chunk, row, turn), w[chunk], scale, along));
    }
  }
#pragma unroll kUnroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    if (column(chunk) >= shape.width) break;
#pragma unroll
    for (int j = 0; j < N; ++j) dweight_parts[blockIdx.x * shape.width + column(chunk) + j] = dweight_part[chunk][j];
  }
}

// out [width] = the sum of parts [count, width]
constexpr int kPartsAtOnce = 32;
__global__ void sum_parts(const float* parts, int64_t count, int64_t width, float* out) {
  __shared__ float sums[kPartsAtOnce][32];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  float sum = 0;
  if (column < width)
    for (int64_t part = threadIdx.y; part < count; part += kPartsAtOnce) sum += parts[part * width + column];
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || column >= width) return;
  for (int i = 1; i < kPartsAtOnce; ++i) sum += sums[i][threadIdx.x];
  out[column] = sum;
}

// ---------------------------------------------------------------------------------------------------- short rows
// Rows of at most 32 packs, as the heads of QK-norm are: kLanes threads of one warp share a row, a pack each.

constexpr int kShortRowThreads = 256;

template <typename T, int N, int kLanes>
__global__ void __launch_bounds__(kShortRowThreads)
    short_row_forward(RmsNormShape shape, const T* x, const T* delta, const T* weight, Accum<T> eps, T* sum, T* out,
                      float* rstd) {
  using A = Accum<T>;
  constexpr int kRows = kShortRowThreads / kLanes;
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
__global__ void __launch_bounds__(kShortRowThreads)
    short_row_backward(RmsNormShape shape, const T* dy, const T* dnormed2, const T* dsum, const T* x, const T* weight,
                       const float* rstd, T* dx, float* dweight_parts) {
  using A = Accum<T>;
  constexpr int kRows = kShortRowThreads / kLanes;
  __shared__ float dweight_rows[kRows][kLanes * N];
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
      if (dnormed2 != nullptr) pdy = sum_of(pdy, load_pack<T, N>(dnormed2 + at));
      if (dsum != nullptr) past = load_pack<T, N>(dsum + at);
      scale = static_cast<A>(rstd[row]);
    }
    along = add_products(px, pdy, w, scale, dweight_part);
    along = lane_sum<kLanes>(along) / static_cast<A>(shape.width);
    if (has_part) store_pack(dx + at, gradient(px, pdy, past, w, scale, along));
  }
#pragma unroll
  for (int j = 0; j < N; ++j) dweight_rows[threadIdx.x / kLanes][lane * N + j] = dweight_part[j];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < shape.width; i += kShortRowThreads) {
    float sum = 0;
    for (int row = 0; row < kRows; ++row) sum += dweight_rows[row][i];
    dweight_parts[blockIdx.x * shape.width + i] = sum;
  }
}

template <typename T, int N, int kLanes>
cudaError_t launch_short_row_forward(const RmsNormShape& shape, const RmsNormForward& p, cudaStream_t stream) {
  constexpr int64_t kRows = kShortRowThreads / kLanes;
  short_row_forward<T, N, kLanes>
      <<<static_cast<unsigned>((shape.rows + kRows - 1) / kRows), kShortRowThreads, 0, stream>>>(
          shape, static_cast<const T*>(p.x), static_cast<const T*>(p.delta), static_cast<const T*>(p.weight),
          static_cast<Accum<T>>(p.eps), static_cast<T*>(p.sum), static_cast<T*>(p.normed), p.rstd);
  return cudaGetLastError();
}

// What the blocks of a backward left, to dweight.
cudaError_t add_parts(const RmsNormShape& shape, const RmsNormBackward& p, int64_t blocks, cudaStream_t stream) {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) return status;
  sum_parts<<<static_cast<unsigned>((shape.width + 31) / 32), dim3(32, kPartsAtOnce), 0, stream>>>(
      p.dweight_parts, blocks, shape.width, p.dweight);
  return cudaGetLastError();
}

template <typename T, int N, int kLanes>
cudaError_t launch_short_row_backward(const RmsNormShape& shape, const RmsNormBackward& p, cudaStream_t stream) {
  constexpr int64_t kRows = kShortRowThreads / kLanes;
  const int64_t blocks = std::min((shape.rows + kRows - 1) / kRows, kMaxShortRowBlocks);
  short_row_backward<T, N, kLanes><<<static_cast<unsigned>(blocks), kShortRowThreads, 0, stream>>>(
      shape, static_cast<const T*>(p.dnormed), static_cast<const T*>(p.dnormed2), static_cast<const T*>(p.dsum),
      static_cast<const T*>(p.x), static_cast<const T*>(p.weight), p.rstd, static_cast<T*>(p.dx), p.dweight_parts);
  return add_parts(shape, p, blocks, stream);
}

// -------------------------------------------------------------------------------------------------------- launching

template <typename T, int N>
cudaError_t forward(const RmsNormShape& shape, const RmsNormForward& p, cudaStream_t stream) {
  if (shape.width <= 16 * N) return launch_short_row_forward<T, N, 16>(shape, p, stream);
  if (shape.width <= 32 * N) return launch_short_row_forward<T, N, 32>(shape, p, stream);
  rms_norm_forward<T, N><<<static_cast<unsigned>(shape.rows), kThreads, 0, stream>>>(
      shape, static_cast<const T*>(p.x), static_cast<const T*>(p.delta), static_cast<const T*>(p.weight),
      static_cast<Accum<T>>(p.eps), static_cast<T*>(p.sum), static_cast<T*>(p.normed), p.rstd);
  return cudaGetLastError();
}

template <typename T, int N, int kChunks>
cudaError_t backward_in_chunks(const RmsNormShape& shape, const RmsNormBackward& p, cudaStream_t stream) {
  const int64_t blocks = std::min(shape.rows, kMaxLongRowBlocks);
  const auto kernel =
      p.dnormed2 != nullptr ? rms_norm_backward<T, N, kChunks, true> : rms_norm_backward<T, N, kChunks, false>;
  const size_t bytes =
      p.dnormed2 != nullptr ? BackwardRows<T, N, kChunks, 4>::kBytes : BackwardRows<T, N, kChunks, 3>::kBytes;
  const cudaError_t status =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (status != cudaSuccess) return status;
  kernel<<<static_cast<unsigned>(blocks), kBackwardThreads, bytes, stream>>>(
      shape, static_cast<const T*>(p.dnormed), static_cast<const T*>(p.dnormed2), static_cast<const T*>(p.dsum),
      static_cast<const T*>(p.x), static_cast<const T*>(p.weight), p.rstd, static_cast<T*>(p.dx), p.dweight_parts);
  return add_parts(shape, p, blocks, stream);
}

// Up to 16,384 columns; wider rows are no hidden size of ours.
template <typename T, int N>
cudaError_t backward(const RmsNormShape& shape, const RmsNormBackward& p, cudaStream_t stream) {
  if (shape.width <= 16 * N) return launch_short_row_backward<T, N, 16>(shape, p, stream);
  if (shape.width <= 32 * N) return launch_short_row_backward<T, N, 32>(shape, p, stream);
  const int64_t chunks = (shape.width + kBackwardThreads * N - 1) / (kBackwardThreads * N);
  if (chunks <= 1) return backward_in_chunks<T, N, 1>(shape, p, stream);
  if (chunks <= 2) return backward_in_chunks<T, N, 2>(shape, p, stream);
  if (chunks <= 4) return backward_in_chunks<T, N, 4>(shape, p, stream);
  if (chunks <= 32) return backward_in_chunks<T, N, 32>(shape, p, stream);  // unpacked: slow, and only for odd widths
  return cudaErrorInvalidValue;
}

}  // namespace

int64_t rms_norm_parts(RmsNormShape shape) {
  constexpr int64_t kMaxShortRowWidth = 32 * kPackSize<__half>;
  return std::min(shape.rows, shape.width <= kMaxShortRowWidth ? kMaxShortRowBlocks : kMaxLongRowBlocks);
}

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
    return packs<T>(shape.width, p.dnormed, p.dnormed2, p.dsum, p.x, p.weight, p.dx)
               ? backward<T, kPackSize<T>>(shape, p, stream)
               : backward<T, 1>(shape, p, stream);
  });
}

}  // namespace hici::ops::cuda
