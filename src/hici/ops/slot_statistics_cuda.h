// SPDX-License-Identifier: Apache-2.0
// Launchers of the five statistics of slots.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

// x [batch, rows, width]
struct SlotsShape {
  int64_t batch, rows, width;
};

// Below its floor the norm of a mean, or a deviation, is a constant.
struct StatisticsFloors {
  double norm, deviation;
};

// out, dout [batch, 5, width] in the accumulation dtype: mean, maximum, minimum, deviation, mean over its norm.
cudaError_t launch_slot_statistics(ElementType type, SlotsShape shape, StatisticsFloors floors, const void* x,
                                   void* out, cudaStream_t stream);
cudaError_t launch_slot_statistics_backward(ElementType type, SlotsShape shape, StatisticsFloors floors, const void* x,
                                            const void* dout, void* dx, cudaStream_t stream);

}  // namespace hici::ops::cuda
