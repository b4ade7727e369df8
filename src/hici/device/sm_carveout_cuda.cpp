// SPDX-License-Identifier: Apache-2.0
#include "hici/device/kernels_cuda.h"

#include <ATen/cuda/CUDAContext.h>

#include <algorithm>
#include <stdexcept>

namespace hici::device::kernels {

int set_sm_target(int count) {
  const cublasHandle_t handle = at::cuda::getCurrentCUDABlasHandle();
  const int all = at::cuda::getCurrentDeviceProperties()->multiProcessorCount;
  int previous = 0;
  cublasStatus_t status = cublasGetSmCountTarget(handle, &previous);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasSetSmCountTarget(handle, count < 0 ? std::max(1, all + count) : count);
  if (status != CUBLAS_STATUS_SUCCESS) throw std::runtime_error("cuBLAS: cannot set the number of SMs");
  return previous;
}

}  // namespace hici::device::kernels
