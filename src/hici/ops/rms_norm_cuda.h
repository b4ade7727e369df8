// SPDX-License-Identifier: Apache-2.0
// Launchers of RMSNorm.
#pragma once

#include "hici/ops/cuda_element_type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

struct RmsNormShape {
  int64_t rows;
  int64_t width;
};

// sum = x + delta, normed = weight * sum * rstd [rows]. With a null delta sum is x and is not written.
struct RmsNormForward {
  const void *x, *delta, *weight;
  double eps;
  void *sum, *normed;
  float* rstd;
};
cudaError_t launch_rms_norm_forward(ElementType type, RmsNormShape shape, const RmsNormForward& p, cudaStream_t stream);

// dx = d rms_norm(dnormed + dnormed2) + dsum; dnormed2 and dsum may be null. dweight [width]. dweight_parts is a
// workspace [rms_norm_parts(shape), width].
struct RmsNormBackward {
  const void *dnormed, *dnormed2, *dsum, *x, *weight;
  const float* rstd;
  void* dx;
  float *dweight, *dweight_parts;
};
int64_t rms_norm_parts(RmsNormShape shape);
cudaError_t launch_rms_norm_backward(ElementType type, RmsNormShape shape, const RmsNormBackward& p,
                                     cudaStream_t stream);

}  // namespace hici::ops::cuda
