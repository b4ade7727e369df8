// SPDX-License-Identifier: Apache-2.0
// Launchers of running sums of slots and of the statistics made from them.
#pragma once

#include "hici/ops/cuda_element_type.h"
#include "hici/ops/slot_statistics_cuda.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// Sums are [..., 4, width] in the accumulation dtype: total, sum of squares, maximum, minimum.

// x [batch, rows, width]; out, dout [batch, 4, width].
cudaError_t launch_slot_sums(ElementType type, SlotsShape shape, const void* x, void* out, cudaStream_t stream);
cudaError_t launch_slot_sums_backward(ElementType type, SlotsShape shape, const void* x, const void* dout, void* dx,
                                      cudaStream_t stream);

// `batch` sequences of n segments; `row` of the n + 1 running sums is `own`.
struct RunningSumsShape {
  int64_t batch, segments, width, row;
};
// Gradients or values; null: not wanted, or zero.
struct RunningSumsRows {
  void* each;  // [batch, n, 4, width]
  void* own;   // [batch, 4, width]
  void* last;  // [batch, 4, width]
};
// before, dbefore [batch, 4, width], may be null: no slots; sums, dsums [batch, n, 4, width]. `type` is that of the
// sums.
cudaError_t launch_running_sums(ElementType type, RunningSumsShape shape, const void* before, const void* sums,
                                RunningSumsRows out, cudaStream_t stream);
cudaError_t launch_running_sums_backward(ElementType type, RunningSumsShape shape, const void* before, const void* sums,
                                         RunningSumsRows dout, void* dbefore, void* dsums, cudaStream_t stream);

// Row r of [rows, 4, width] has the sums over first + step * (r mod period) slots.
struct SumStatisticsShape {
  int64_t rows, width, first, step, period;
};
// Below its floor the norm of a mean, or a variance, is a constant.
struct SumStatisticsFloors {
  double norm, variance;
};
// out, dout [rows, 5, width]
cudaError_t launch_sum_statistics(ElementType type, SumStatisticsShape shape, SumStatisticsFloors floors,
                                  const void* sums, void* out, cudaStream_t stream);
cudaError_t launch_sum_statistics_backward(ElementType type, SumStatisticsShape shape, SumStatisticsFloors floors,
                                           const void* sums, const void* dout, void* dsums, cudaStream_t stream);

}  // namespace hici::ops::cuda
