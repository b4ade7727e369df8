// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/fp8_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

namespace {

QuantisedRows outputs(const at::Tensor& factor, at::Tensor& rows, at::Tensor& scale) {
  return {factor.defined() ? factor.const_data_ptr<float>() : nullptr, rows.mutable_data_ptr(),
          scale.mutable_data_ptr<float>()};
}

QuantiseShape shape_of(const at::Tensor& rows) { return {1, rows.size(0), rows.size(1), rows.numel()}; }

}  // namespace

void quantise_rows(const at::Tensor& x, const at::Tensor& factor, at::Tensor& rows, at::Tensor& scale) {
  const c10::cuda::CUDAGuard guard(x.device());
  const QuantiseShape shape{x.size(0), x.size(1), x.size(2), x.stride(0)};
  HICI_CUDA_CHECK(
      launch_quantise_rows(element_type(x), shape, x.const_data_ptr(), outputs(factor, rows, scale), stream_of(x)));
}

void quantise_swiglu(const at::Tensor& gate, const at::Tensor& up, at::Tensor& rows, at::Tensor& scale) {
  const c10::cuda::CUDAGuard guard(gate.device());
  HICI_CUDA_CHECK(launch_quantise_swiglu(element_type(gate), shape_of(gate), gate.const_data_ptr(), up.const_data_ptr(),
                                         outputs({}, rows, scale), stream_of(gate)));
}

void quantise_swiglu_backward(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up,
                              const at::Tensor& gate_factor, const at::Tensor& up_factor, at::Tensor& dgate_rows,
                              at::Tensor& dgate_scale, at::Tensor& dup_rows, at::Tensor& dup_scale) {
  const c10::cuda::CUDAGuard guard(gate.device());
  HICI_CUDA_CHECK(launch_quantise_swiglu_backward(
      element_type(gate), shape_of(gate), dy.const_data_ptr(), gate.const_data_ptr(), up.const_data_ptr(),
      outputs(gate_factor, dgate_rows, dgate_scale), outputs(up_factor, dup_rows, dup_scale), stream_of(gate)));
}

}  // namespace hici::device::kernels
