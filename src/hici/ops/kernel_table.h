// SPDX-License-Identifier: Apache-2.0
// The seam between libhici and its CUDA plug-in: plain function pointers, so that the main binary links no CUDA
// library. Each op asks cuda_kernels() when its tensors are on a GPU. All tensors are contiguous and on one CUDA
// device; work is queued on that device's current stream. Row kernels take [rows, width].
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

struct KernelTable {
  // y = weight * x * rstd, rstd = rsqrt(mean(x^2) + eps) [rows] in float32.
  void (*rms_norm_forward)(const at::Tensor& x, const at::Tensor& weight, double eps, at::Tensor& y, at::Tensor& rstd);
  // dx, and dweight [width] in float32 (zeroed by the callee).
  void (*rms_norm_backward)(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd,
                            at::Tensor& dx, at::Tensor& dweight);
  // Rotates x [B, T, heads, D] by tables cos, sin [T, D/2] (float32); sign -1 is the transpose.
  void (*rotary)(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, double sign, at::Tensor& y);
  // y = silu(gate) * up.
  void (*swiglu_forward)(const at::Tensor& gate, const at::Tensor& up, at::Tensor& y);
  void (*swiglu_backward)(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up, at::Tensor& dgate,
                          at::Tensor& dup);
};

// The plug-in's table; an hici::Error when the plug-in was not loaded.
const KernelTable& cuda_kernels();

// Called once, by the plug-in loader.
void register_cuda_kernels(const KernelTable* table);

}  // namespace hici::ops
