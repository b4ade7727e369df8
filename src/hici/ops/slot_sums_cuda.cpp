// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/slot_sums_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

namespace hici::device::kernels {

using namespace ops::cuda;

namespace {

void* address(const at::Tensor& t) { return t.defined() ? t.mutable_data_ptr() : nullptr; }

// Gradients are read, values are written.
RunningSumsRows rows_of(const at::Tensor& each, const at::Tensor& own, const at::Tensor& last) {
  return {address(each), address(own), address(last)};
}

RunningSumsShape shape_of(const at::Tensor& sums, int64_t row) {
  return {sums.size(0), sums.size(1), sums.size(3), row};
}

}  // namespace

void slot_sums(const at::Tensor& x, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(x.device());
  HICI_CUDA_CHECK(launch_slot_sums(element_type(x), {x.size(0), x.size(1), x.size(2)}, x.const_data_ptr(),
                                   out.mutable_data_ptr(), stream_of(x)));
}

void slot_sums_backward(const at::Tensor& dout, const at::Tensor& x, at::Tensor& dx) {
  const c10::cuda::CUDAGuard guard(x.device());
  HICI_CUDA_CHECK(launch_slot_sums_backward(element_type(x), {x.size(0), x.size(1), x.size(2)}, x.const_data_ptr(),
                                            dout.const_data_ptr(), dx.mutable_data_ptr(), stream_of(x)));
}

void running_sums(const at::Tensor& before, const at::Tensor& sums, int64_t row, const at::Tensor& each,
                  const at::Tensor& own, const at::Tensor& last) {
  const c10::cuda::CUDAGuard guard(sums.device());
  HICI_CUDA_CHECK(launch_running_sums(element_type(sums), shape_of(sums, row), data_or_null(before),
                                      sums.const_data_ptr(), rows_of(each, own, last), stream_of(sums)));
}

void running_sums_backward(const at::Tensor& before, const at::Tensor& sums, int64_t row, const at::Tensor& deach,
                           const at::Tensor& down, const at::Tensor& dlast, const at::Tensor& dbefore,
                           const at::Tensor& dsums) {
  const c10::cuda::CUDAGuard guard(sums.device());
  HICI_CUDA_CHECK(launch_running_sums_backward(element_type(sums), shape_of(sums, row), data_or_null(before),
                                               sums.const_data_ptr(), rows_of(deach, down, dlast), address(dbefore),
                                               dsums.mutable_data_ptr(), stream_of(sums)));
}

void sum_statistics(const at::Tensor& sums, int64_t first, int64_t step, int64_t period, double norm_floor,
                    double variance_floor, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(sums.device());
  HICI_CUDA_CHECK(launch_sum_statistics(element_type(sums), {sums.size(0), sums.size(2), first, step, period},
                                        {norm_floor, variance_floor}, sums.const_data_ptr(), out.mutable_data_ptr(),
                                        stream_of(sums)));
}

void sum_statistics_backward(const at::Tensor& dout, const at::Tensor& sums, int64_t first, int64_t step,
                             int64_t period, double norm_floor, double variance_floor, at::Tensor& dsums) {
  const c10::cuda::CUDAGuard guard(sums.device());
  HICI_CUDA_CHECK(launch_sum_statistics_backward(element_type(sums), {sums.size(0), sums.size(2), first, step, period},
                                                 {norm_floor, variance_floor}, sums.const_data_ptr(),
                                                 dout.const_data_ptr(), dsums.mutable_data_ptr(), stream_of(sums)));
}

}  // namespace hici::device::kernels
