// SPDX-License-Identifier: Apache-2.0
// Attention through cuDNN, for the plug-in's kernel table. Built only where cuDNN's frontend is found.
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops::cuda {

// See KernelTable: causal from the bottom right, q and out [G, S, H, D], k and v [G, K, J, D], lse [G, H, S] float32;
// 16-bit types, all contiguous. Throws std::runtime_error with cuDNN's words. The first call of a shape builds its plan
// (tens of milliseconds); plans are kept. Not thread-safe. dk and dv are written; dq is set, to rows of a longer
// buffer.
void cudnn_attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                             at::Tensor& out, at::Tensor& lse);
void cudnn_attention_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              const at::Tensor& out, const at::Tensor& lse, double scale, at::Tensor& dq,
                              at::Tensor& dk, at::Tensor& dv);

}  // namespace hici::ops::cuda
