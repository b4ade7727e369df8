// SPDX-License-Identifier: Apache-2.0
// The five statistics of a few dozen slots, one block for each sequence and each direction: what costs here is the
// number of launches. Nothing is saved: sums over so few rows are made again in the backward.
#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 1024;

// Mean and deviation of one column, and the rows of its extremes (the first of equals).
template <typename A>
struct Column {
  A mean, deviation, top, low;
  int64_t top_row, low_row;
};

template <typename T>
__device__ Column<Wide<T>> read_column(const SlotsShape& shape, const T* x) {
  using A = Wide<T>;
  Column<A> out{};
  A total = 0;
  for (int64_t row = 0; row < shape.rows; ++row) {
    const A value = static_cast<A>(x[row * shape.width]);
    total += value;
    if (row == 0 || value > out.top) out.top = value, out.top_row = row;
    if (row == 0 || value < out.low) out.low = value, out.low_row = row;
  }
  out.mean = total / static_cast<A>(shape.rows);
  A squares = 0;
  for (int64_t row = 0; row < shape.rows; ++row) {
    const A off = static_cast<A>(x[row * shape.width]) - out.mean;
    squares += off * off;
  }
  out.deviation = sqrt(squares / static_cast<A>(shape.rows));
  return out;
}

template <typename T>
__global__ void slot_statistics(SlotsShape shape, Wide<T> norm_floor, Wide<T> deviation_floor, const T* x_all,
                                Wide<T>* out_all) {
  using A = Wide<T>;
  const T* x = x_all + blockIdx.x * shape.rows * shape.width;
  A* out = out_all + blockIdx.x * 5 * shape.width;
  A squares = 0;
  for (int64_t c = threadIdx.x; c < shape.width; c += kThreads) {
    const Column<A> column = read_column(shape, x + c);
    squares += column.mean * column.mean;
    out[c] = column.mean;
    out[shape.width + c] = column.top;
    out[2 * shape.width + c] = column.low;
    out[3 * shape.width + c] = max(column.deviation, deviation_floor);
  }
  const A norm = max(sqrt(block_sum<kThreads>(squares)), norm_floor);
  for (int64_t c = threadIdx.x; c < shape.width; c += kThreads) out[4 * shape.width + c] = out[c] / norm;
}

// Below its floor a deviation is a constant; the norm of the mean likewise. An extreme goes to the row that had it.
template <typename T>
__global__ void slot_statistics_backward(SlotsShape shape, Wide<T> norm_floor, Wide<T> deviation_floor, const T* x_all,
                                         const Wide<T>* dout_all, T* dx_all) {
  using A = Wide<T>;
  const int64_t first = blockIdx.x * shape.rows * shape.width;
  const A* by = dout_all + blockIdx.x * 5 * shape.width;
  A squares = 0, product = 0;
  for (int64_t c = threadIdx.x; c < shape.width; c += kThreads) {
    const A mean = read_column(shape, x_all + first + c).mean;
    squares += mean * mean;
    product += by[4 * shape.width + c] * mean;
  }
  const A length = sqrt(block_sum<kThreads>(squares)), norm = max(length, norm_floor);
  const A all_products = block_sum<kThreads>(product), along = length >= norm_floor ? all_products / norm : A(0);
  for (int64_t c = threadIdx.x; c < shape.width; c += kThreads) {
    const Column<A> column = read_column(shape, x_all + first + c);
    const A dmean = by[c] + (by[4 * shape.width + c] - column.mean / norm * along) / norm;
    const A slope = column.deviation >= deviation_floor ? by[3 * shape.width + c] / column.deviation : A(0);
    for (int64_t row = 0; row < shape.rows; ++row) {
      const int64_t at = first + row * shape.width + c;
      A dx = ((static_cast<A>(x_all[at]) - column.mean) * slope + dmean) / static_cast<A>(shape.rows);
      if (row == column.top_row) dx += by[shape.width + c];
      if (row == column.low_row) dx += by[2 * shape.width + c];
      dx_all[at] = static_cast<T>(dx);
    }
  }
}

}  // namespace

cudaError_t launch_slot_statistics(ElementType type, SlotsShape shape, StatisticsFloors floors, const void* x,
                                   void* out, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    slot_statistics<T><<<static_cast<unsigned>(shape.batch), kThreads, 0, stream>>>(
        shape, static_cast<Wide<T>>(floors.norm), static_cast<Wide<T>>(floors.deviation), static_cast<const T*>(x),
        static_cast<Wide<T>*>(out));
    return cudaGetLastError();
  });
}

cudaError_t launch_slot_statistics_backward(ElementType type, SlotsShape shape, StatisticsFloors floors, const void* x,
                                            const void* dout, void* dx, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    slot_statistics_backward<T><<<static_cast<unsigned>(shape.batch), kThreads, 0, stream>>>(
        shape, static_cast<Wide<T>>(floors.norm), static_cast<Wide<T>>(floors.deviation), static_cast<const T*>(x),
        static_cast<const Wide<T>*>(dout), static_cast<T*>(dx));
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
