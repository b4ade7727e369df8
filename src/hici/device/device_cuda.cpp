// SPDX-License-Identifier: Apache-2.0
#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"

namespace hici::device::kernels {

int device_capability(int index) {
  int major = 0, minor = 0;
  HICI_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  HICI_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
  return 10 * major + minor;
}

}  // namespace hici::device::kernels
