// SPDX-License-Identifier: Apache-2.0
// Launchers of the CUDA kernels, on raw pointers: the .cu files see no tensor, the .cpp files of the plug-in no kernel.
// Every launcher queues on `stream` and returns the launch's status.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

enum class ElementType { kFloat32, kBFloat16, kFloat16, kFloat64 };

struct RmsNormShape {
  int64_t rows;
  int64_t width;
};

// y = weight * x * rstd; rstd [rows] float32.
cudaError_t launch_rms_norm_forward(ElementType type, RmsNormShape shape, const void* x, const void* weight, double eps,
                                    void* y, float* rstd, cudaStream_t stream);
// dweight [width] float32 must be zero before.
cudaError_t launch_rms_norm_backward(ElementType type, RmsNormShape shape, const void* dy, const void* x,
                                     const void* weight, const float* rstd, void* dx, float* dweight,
                                     cudaStream_t stream);

struct RotaryShape {
  int64_t batch, tokens, heads, head_dim;
};

// Tables [tokens, head_dim / 2]; float64 when the type is, else float32. `sign` -1 turns back.
cudaError_t launch_rotary(ElementType type, RotaryShape shape, const void* x, const void* cos, const void* sin,
                          double sign, void* y, cudaStream_t stream);

cudaError_t launch_swiglu_forward(ElementType type, int64_t count, const void* gate, const void* up, void* y,
                                  cudaStream_t stream);
cudaError_t launch_swiglu_backward(ElementType type, int64_t count, const void* dy, const void* gate, const void* up,
                                   void* dgate, void* dup, cudaStream_t stream);

}  // namespace hici::ops::cuda
