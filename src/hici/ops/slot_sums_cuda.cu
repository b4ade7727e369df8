// SPDX-License-Identifier: Apache-2.0
// Running sums of slots, and the statistics made from them. The operands are a few dozen rows, and attention waits for
// what is made of them: the cost is the number of kernels, one each way. A thread has a column.
#include "hici/ops/slot_sums_cuda.h"

#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 128;     // of the kernels whose columns do not meet: 32 blocks for a hidden size of 4,096
constexpr int kRowThreads = 512;  // of those that need the norm of a whole row
constexpr unsigned kSlices = 8;   // blocks for a row, each of which computes that norm by itself
constexpr int kRowsAtOnce = 8;    // loads in flight

enum Sum { kTotal, kSquares, kMax, kMin, kNumSums };

__device__ int64_t own_column() { return blockIdx.x * int64_t{kThreads} + threadIdx.x; }

dim3 grid_of(int64_t width, int64_t batch) {
  return {static_cast<unsigned>((width + kThreads - 1) / kThreads), static_cast<unsigned>(batch)};
}

// The sums over the rows of a column, and the rows of its extremes (the first of equals).
template <typename A>
struct ColumnSums {
  A sums[kNumSums];
  int64_t max_row, min_row;
};

template <typename T>
__device__ ColumnSums<Accum<T>> read_column(const SlotsShape& shape, const T* x) {
  using A = Accum<T>;
  ColumnSums<A> out{};
#pragma unroll kRowsAtOnce
  for (int64_t row = 0; row < shape.rows; ++row) {
    const A value = static_cast<A>(x[row * shape.width]);
    out.sums[kTotal] += value;
    out.sums[kSquares] += value * value;
    if (row == 0 || value > out.sums[kMax]) out.sums[kMax] = value, out.max_row = row;
    if (row == 0 || value < out.sums[kMin]) out.sums[kMin] = value, out.min_row = row;
  }
  return out;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) slot_sums(SlotsShape shape, const T* x, Accum<T>* out) {
  const int64_t c = own_column(), batch = blockIdx.y;
  if (c >= shape.width) return;
  const ColumnSums<Accum<T>> column = read_column(shape, x + batch * shape.rows * shape.width + c);
#pragma unroll
  for (int k = 0; k < kNumSums; ++k) out[(batch * kNumSums + k) * shape.width + c] = column.sums[k];
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    slot_sums_backward(SlotsShape shape, const T* x_all, const Accum<T>* dout, T* dx) {
  using A = Accum<T>;
  const int64_t c = own_column(), batch = blockIdx.y, first = batch * shape.rows * shape.width + c;
  if (c >= shape.width) return;
  const ColumnSums<A> column = read_column(shape, x_all + first);
  A by[kNumSums];
#pragma unroll
  for (int k = 0; k < kNumSums; ++k) by[k] = dout[(batch * kNumSums + k) * shape.width + c];
#pragma unroll kRowsAtOnce
  for (int64_t row = 0; row < shape.rows; ++row) {
    const int64_t at = first + row * shape.width;
    A value = by[kTotal] + 2 * static_cast<A>(x_all[at]) * by[kSquares];
    if (row == column.max_row) value += by[kMax];
    if (row == column.min_row) value += by[kMin];
    dx[at] = static_cast<T>(value);
  }
}

template <typename A>
struct Rows {
  A *each, *own, *last;

  explicit Rows(const RunningSumsRows& rows)
      : each(static_cast<A*>(rows.each)), own(static_cast<A*>(rows.own)), last(static_cast<A*>(rows.last)) {}
};

// Where one of the four sums of a column lies: at `segment` of those that are added, and in the state of a batch.
struct Place {
  int64_t segments, width, batch, at;  // `at`: sum and column

  __device__ Place(const RunningSumsShape& shape, int sum, int64_t column)
      : segments(shape.segments), width(shape.width), batch(blockIdx.y), at(sum * shape.width + column) {}
  __device__ int64_t of_segment(int64_t i) const { return (batch * segments + i) * kNumSums * width + at; }
  __device__ int64_t of_state() const { return batch * kNumSums * width + at; }
};

// Of equals the later one.
template <typename A>
__device__ bool replaces(int sum, A later, A extreme) {
  return sum == kMax ? later >= extreme : later <= extreme;
}

template <typename A>
__device__ A nothing(int sum) {
  const A infinity = static_cast<A>(INFINITY);
  return sum == kMax ? -infinity : sum == kMin ? infinity : A(0);
}

template <typename A>
__device__ A joined(int sum, A value, A later) {
  if (sum == kTotal || sum == kSquares) return value + later;
  return replaces(sum, later, value) ? later : value;
}

template <typename A>
__global__ void __launch_bounds__(kThreads)
    running_sums(RunningSumsShape shape, const A* before, const A* sums, Rows<A> out) {
  const int64_t c = own_column();
  if (c >= shape.width) return;
#pragma unroll
  for (int k = 0; k < kNumSums; ++k) {
    const Place place(shape, k, c);
    A value = before != nullptr ? before[place.of_state()] : nothing<A>(k);
    if (out.own != nullptr && shape.row == 0) out.own[place.of_state()] = value;
    for (int64_t i = 0; i < shape.segments; ++i) {
      value = joined(k, value, sums[place.of_segment(i)]);
      if (out.each != nullptr) out.each[place.of_segment(i)] = value;
      if (out.own != nullptr && shape.row == i + 1) out.own[place.of_state()] = value;
    }
    if (out.last != nullptr) out.last[place.of_state()] = value;
  }
}

// The gradient of the state after i segments.
template <typename A>
__device__ A gradient_at(const RunningSumsShape& shape, const Place& place, const Rows<A>& dout, int64_t i) {
  A value = 0;
  if (dout.each != nullptr && i > 0) value += dout.each[place.of_segment(i - 1)];
  if (dout.own != nullptr && i == shape.row) value += dout.own[place.of_state()];
  if (dout.last != nullptr && i == shape.segments) value += dout.last[place.of_state()];
  return value;
}

// A sum's gradient goes to all that it was made of.
template <typename A>
__device__ void sum_backward(const RunningSumsShape& shape, const Place& place, const Rows<A>& dout, A* dbefore,
                             A* dsums) {
  A total = 0;
  for (int64_t i = shape.segments; i > 0; --i) {
    total += gradient_at(shape, place, dout, i);
    dsums[place.of_segment(i - 1)] = total;
  }
  if (dbefore != nullptr) dbefore[place.of_state()] = total + gradient_at(shape, place, dout, 0);
}

// An extreme's goes to the one that it is: one state after the other has the same, until a segment replaces it.
template <typename A>
__device__ void extreme_backward(const RunningSumsShape& shape, const Place& place, int sum, const A* before,
                                 const A* sums, const Rows<A>& dout, A* dbefore, A* dsums) {
  A extreme = before != nullptr ? before[place.of_state()] : nothing<A>(sum);
  A* winner = dbefore != nullptr ? dbefore + place.of_state() : nullptr;
  A total = gradient_at(shape, place, dout, 0);
  for (int64_t i = 0; i < shape.segments; ++i) {
    const A later = sums[place.of_segment(i)];
    A* own = dsums + place.of_segment(i);
    if (replaces(sum, later, extreme)) {
      if (winner != nullptr) *winner = total;
      winner = own;
      extreme = later;
      total = 0;
    } else {
      *own = 0;
    }
    total += gradient_at(shape, place, dout, i + 1);
  }
  if (winner != nullptr) *winner = total;
}

template <typename A>
__global__ void __launch_bounds__(kThreads)
    running_sums_backward(RunningSumsShape shape, const A* before, const A* sums, Rows<A> dout, A* dbefore, A* dsums) {
  const int64_t c = own_column();
  if (c >= shape.width) return;
  for (int k : {kTotal, kSquares}) sum_backward(shape, Place(shape, k, c), dout, dbefore, dsums);
  for (int k : {kMax, kMin}) extreme_backward(shape, Place(shape, k, c), k, before, sums, dout, dbefore, dsums);
}

// One row of sums: how many slots, and the columns of this block.
struct SumsRow {
  int64_t row, first, last, width;
  double count;

  explicit __device__ SumsRow(const SumStatisticsShape& shape) : row(blockIdx.x), width(shape.width) {
    const int64_t each = (width + kSlices - 1) / kSlices;
    first = blockIdx.y * each;
    last = min(first + each, width);
    count = static_cast<double>(shape.first + shape.step * (row % shape.period));
  }
};

// Norm of the mean of all columns; `product`: the sum of by * mean, or 0.
template <typename A>
__device__ A norm_of_mean(const SumsRow& in, const A* sums, const A* by, A* product) {
  A squares = 0, dot = 0;
  for (int64_t c = threadIdx.x; c < in.width; c += kRowThreads) {
    const A mean = sums[c] / static_cast<A>(in.count);
    squares += mean * mean;
    if (by != nullptr) dot += by[c] * mean;
  }
  if (by != nullptr) *product = block_sum<kRowThreads>(dot);
  return sqrt(block_sum<kRowThreads>(squares));
}

template <typename A>
__global__ void __launch_bounds__(kRowThreads)
    sum_statistics(SumStatisticsShape shape, A norm_floor, A variance_floor, const A* sums_all, A* out_all) {
  const SumsRow in(shape);
  const A* sums = sums_all + in.row * kNumSums * in.width;
  A* out = out_all + in.row * 5 * in.width;
  const A norm = max(norm_of_mean<A>(in, sums, nullptr, nullptr), norm_floor), count = static_cast<A>(in.count);
  for (int64_t c = in.first + threadIdx.x; c < in.last; c += kRowThreads) {
    const A mean = sums[c] / count, variance = sums[kSquares * in.width + c] / count - mean * mean;
    out[c] = mean;
    out[in.width + c] = sums[kMax * in.width + c];
    out[2 * in.width + c] = sums[kMin * in.width + c];
    out[3 * in.width + c] = sqrt(max(variance, variance_floor));
    out[4 * in.width + c] = mean / norm;
  }
}

// As LibTorch's clamp_min has it: at the floor there is a gradient, below it there is none.
template <typename A>
__global__ void __launch_bounds__(kRowThreads)
    sum_statistics_backward(SumStatisticsShape shape, A norm_floor, A variance_floor, const A* sums_all,
                            const A* dout_all, A* dsums_all) {
  const SumsRow in(shape);
  const A* sums = sums_all + in.row * kNumSums * in.width;
  const A* by = dout_all + in.row * 5 * in.width;
  A* dsums = dsums_all + in.row * kNumSums * in.width;
  A product = 0;
  const A length = norm_of_mean(in, sums, by + 4 * in.width, &product), norm = max(length, norm_floor);
  const A along = length >= norm_floor ? product / norm : A(0), count = static_cast<A>(in.count);
  for (int64_t c = in.first + threadIdx.x; c < in.last; c += kRowThreads) {
    const A mean = sums[c] / count, variance = sums[kSquares * in.width + c] / count - mean * mean;
    const A dvariance = variance >= variance_floor ? by[3 * in.width + c] / (2 * sqrt(variance)) : A(0);
    const A dmean = by[c] + (by[4 * in.width + c] - mean / norm * along) / norm - 2 * mean * dvariance;
    dsums[c] = dmean / count;
    dsums[kSquares * in.width + c] = dvariance / count;
    dsums[kMax * in.width + c] = by[in.width + c];
    dsums[kMin * in.width + c] = by[2 * in.width + c];
  }
}

// Calls f with a null pointer of the type of sums.
template <typename F>
cudaError_t dispatch_sums(ElementType type, F&& f) {
  if (type == ElementType::kFloat64) return f(static_cast<double*>(nullptr));
  if (type == ElementType::kFloat32) return f(static_cast<float*>(nullptr));
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch_slot_sums(ElementType type, SlotsShape shape, const void* x, void* out, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    slot_sums<T><<<grid_of(shape.width, shape.batch), kThreads, 0, stream>>>(shape, static_cast<const T*>(x),
                                                                             static_cast<Accum<T>*>(out));
    return cudaGetLastError();
  });
}

cudaError_t launch_slot_sums_backward(ElementType type, SlotsShape shape, const void* x, const void* dout, void* dx,
                                      cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    slot_sums_backward<T><<<grid_of(shape.width, shape.batch), kThreads, 0, stream>>>(
        shape, static_cast<const T*>(x), static_cast<const Accum<T>*>(dout), static_cast<T*>(dx));
    return cudaGetLastError();
  });
}

cudaError_t launch_running_sums(ElementType type, RunningSumsShape shape, const void* before, const void* sums,
                                RunningSumsRows out, cudaStream_t stream) {
  return dispatch_sums(type, [&](auto* tag) {
    using A = std::remove_pointer_t<decltype(tag)>;
    running_sums<A><<<grid_of(shape.width, shape.batch), kThreads, 0, stream>>>(
        shape, static_cast<const A*>(before), static_cast<const A*>(sums), Rows<A>(out));
    return cudaGetLastError();
  });
}

cudaError_t launch_running_sums_backward(ElementType type, RunningSumsShape shape, const void* before, const void* sums,
                                         RunningSumsRows dout, void* dbefore, void* dsums, cudaStream_t stream) {
  return dispatch_sums(type, [&](auto* tag) {
    using A = std::remove_pointer_t<decltype(tag)>;
    running_sums_backward<A><<<grid_of(shape.width, shape.batch), kThreads, 0, stream>>>(
        shape, static_cast<const A*>(before), static_cast<const A*>(sums), Rows<A>(dout), static_cast<A*>(dbefore),
        static_cast<A*>(dsums));
    return cudaGetLastError();
  });
}

cudaError_t launch_sum_statistics(ElementType type, SumStatisticsShape shape, SumStatisticsFloors floors,
                                  const void* sums, void* out, cudaStream_t stream) {
  return dispatch_sums(type, [&](auto* tag) {
    using A = std::remove_pointer_t<decltype(tag)>;
    sum_statistics<A><<<dim3(static_cast<unsigned>(shape.rows), kSlices), kRowThreads, 0, stream>>>(
        shape, static_cast<A>(floors.norm), static_cast<A>(floors.variance), static_cast<const A*>(sums),
        static_cast<A*>(out));
    return cudaGetLastError();
  });
}

cudaError_t launch_sum_statistics_backward(ElementType type, SumStatisticsShape shape, SumStatisticsFloors floors,
                                           const void* sums, const void* dout, void* dsums, cudaStream_t stream) {
  return dispatch_sums(type, [&](auto* tag) {
    using A = std::remove_pointer_t<decltype(tag)>;
    sum_statistics_backward<A><<<dim3(static_cast<unsigned>(shape.rows), kSlices), kRowThreads, 0, stream>>>(
        shape, static_cast<A>(floors.norm), static_cast<A>(floors.variance), static_cast<const A*>(sums),
        static_cast<const A*>(dout), static_cast<A*>(dsums));
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
