// SPDX-License-Identifier: Apache-2.0
// The five statistics of a few dozen slots, one kernel for each direction: the cost is the number of launches and their
// latency. A block has a slice of the columns; every block computes the norm of the mean, over all columns, by itself.
// Nothing is saved: the backward recomputes the sums over so few rows.
#include "hici/ops/slot_statistics_cuda.h"

#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr unsigned kSlices = 8;

constexpr int kRowsAtOnce = 16;  // loads in flight: memory latency is high next to large GEMMs

// The columns of this block.
struct Slice {
  int64_t first, last;

  explicit __device__ Slice(int64_t width) {
    const int64_t each = (width + kSlices - 1) / kSlices;
    first = blockIdx.y * each;
    last = min(first + each, width);
  }
};

// Mean and deviation of one column, and the rows of its extremes (the first of equals).
template <typename A>
struct Column {
  A mean, deviation, max, min;
  int64_t max_row, min_row;
};

template <typename T>
__device__ Column<Accum<T>> read_column(const SlotsShape& shape, const T* x) {
  using A = Accum<T>;
  Column<A> out{};
  A total = 0;
#pragma unroll kRowsAtOnce
  for (int64_t row = 0; row < shape.rows; ++row) {
    const A value = static_cast<A>(x[row * shape.width]);
    total += value;
    if (row == 0 || value > out.max) out.max = value, out.max_row = row;
    if (row == 0 || value < out.min) out.min = value, out.min_row = row;
  }
  out.mean = total / static_cast<A>(shape.rows);
  A squares = 0;
#pragma unroll kRowsAtOnce
  for (int64_t row = 0; row < shape.rows; ++row) {
    const A off = static_cast<A>(x[row * shape.width]) - out.mean;
    squares += off * off;
  }
  out.deviation = sqrt(squares / static_cast<A>(shape.rows));
  return out;
}

template <typename A>
struct MeanLength {
  A length, product;  // of the mean over all columns; with `by` [width], or 0
};

// N neighbouring columns a thread.
template <typename T, int N>
__device__ MeanLength<Accum<T>> length_of_mean(const SlotsShape& shape, const T* x, const Accum<T>* by) {
  using A = Accum<T>;
  A squares = 0, product = 0;
  for (int64_t c = threadIdx.x * N; c < shape.width; c += kThreads * N) {
    A mean[N] = {};
#pragma unroll kRowsAtOnce
    for (int64_t row = 0; row < shape.rows; ++row) {
      const Pack<T, N> values = load_pack<T, N>(x + row * shape.width + c);
#pragma unroll
      for (int j = 0; j < N; ++j) mean[j] += static_cast<A>(values.at[j]);
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      mean[j] /= static_cast<A>(shape.rows);
      squares += mean[j] * mean[j];
      if (by != nullptr) product += by[c + j] * mean[j];
    }
  }
  return {sqrt(block_sum<kThreads>(squares)), by != nullptr ? block_sum<kThreads>(product) : A(0)};
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    slot_statistics(SlotsShape shape, Accum<T> norm_floor, Accum<T> deviation_floor, const T* x_all,
                    Accum<T>* out_all) {
  using A = Accum<T>;
  const T* x = x_all + blockIdx.x * shape.rows * shape.width;
  A* out = out_all + blockIdx.x * 5 * shape.width;
  const A norm = max(length_of_mean<T, N>(shape, x, nullptr).length, norm_floor);
  const Slice slice(shape.width);
  for (int64_t c = slice.first + threadIdx.x; c < slice.last; c += kThreads) {
    const Column<A> column = read_column(shape, x + c);
    out[c] = column.mean;
    out[shape.width + c] = column.max;
    out[2 * shape.width + c] = column.min;
    out[3 * shape.width + c] = max(column.deviation, deviation_floor);
    out[4 * shape.width + c] = column.mean / norm;
  }
}

// Below its floor a deviation is a constant; the norm of the mean likewise. An extreme goes to the row that had it.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    slot_statistics_backward(SlotsShape shape, Accum<T> norm_floor, Accum<T> deviation_floor, const T* x_all,
                             const Accum<T>* dout_all, T* dx_all) {
  using A = Accum<T>;
  const int64_t first = blockIdx.x * shape.rows * shape.width;
  const A* by = dout_all + blockIdx.x * 5 * shape.width;
  const MeanLength<A> mean = length_of_mean<T, N>(shape, x_all + first, by + 4 * shape.width);
  const A norm = max(mean.length, norm_floor), along = mean.length >= norm_floor ? mean.product / norm : A(0);
  const Slice slice(shape.width);
  for (int64_t c = slice.first + threadIdx.x; c < slice.last; c += kThreads) {
    const Column<A> column = read_column(shape, x_all + first + c);
    const A dmean = by[c] + (by[4 * shape.width + c] - column.mean / norm * along) / norm;
    const A slope = column.deviation >= deviation_floor ? by[3 * shape.width + c] / column.deviation : A(0);
    const A dmax = by[shape.width + c], dmin = by[2 * shape.width + c], share = A(1) / static_cast<A>(shape.rows);
#pragma unroll kRowsAtOnce
    for (int64_t row = 0; row < shape.rows; ++row) {
      const int64_t at = first + row * shape.width + c;
      A dx = ((static_cast<A>(x_all[at]) - column.mean) * slope + dmean) * share;
      if (row == column.max_row) dx += dmax;
      if (row == column.min_row) dx += dmin;
      dx_all[at] = static_cast<T>(dx);
    }
  }
}

// Calls f(T*, N): as many columns a thread as a hidden size of 4,096 has for each of its threads, where they lie well.
template <typename F>
cudaError_t dispatch_columns(ElementType type, const SlotsShape& shape, const void* x, F&& f) {
  constexpr int kColumns = 4;
  return dispatch(type, [&](auto* tag) {
    const bool packs = shape.width % kColumns == 0 && is_packable(x);
    return packs ? f(tag, std::integral_constant<int, kColumns>()) : f(tag, std::integral_constant<int, 1>());
  });
}

}  // namespace

cudaError_t launch_slot_statistics(ElementType type, SlotsShape shape, StatisticsFloors floors, const void* x,
                                   void* out, cudaStream_t stream) {
  return dispatch_columns(type, shape, x, [&](auto* tag, auto columns) {
    using T = std::remove_pointer_t<decltype(tag)>;
    slot_statistics<T, decltype(columns)::value>
        <<<dim3(static_cast<unsigned>(shape.batch), kSlices), kThreads, 0, stream>>>(
            shape, static_cast<Accum<T>>(floors.norm), static_cast<Accum<T>>(floors.deviation),
            static_cast<const T*>(x), static_cast<Accum<T>*>(out));
    return cudaGetLastError();
  });
}

cudaError_t launch_slot_statistics_backward(ElementType type, SlotsShape shape, StatisticsFloors floors, const void* x,
                                            const void* dout, void* dx, cudaStream_t stream) {
  return dispatch_columns(type, shape, x, [&](auto* tag, auto columns) {
    using T = std::remove_pointer_t<decltype(tag)>;
    slot_statistics_backward<T, decltype(columns)::value>
        <<<dim3(static_cast<unsigned>(shape.batch), kSlices), kThreads, 0, stream>>>(
            shape, static_cast<Accum<T>>(floors.norm), static_cast<Accum<T>>(floors.deviation),
            static_cast<const T*>(x), static_cast<const Accum<T>*>(dout), static_cast<T*>(dx));
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
