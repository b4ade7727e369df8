// SPDX-License-Identifier: Apache-2.0
#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>

namespace hici::device::kernels {

int device_capability(int index) {
  int major = 0, minor = 0;
  HICI_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  HICI_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
  return 10 * major + minor;
}

void limit_memory(int index, int64_t bytes) {
  size_t free = 0, total = 0;
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(index));
  HICI_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const double fraction = std::min(1.0, static_cast<double>(bytes) / static_cast<double>(total));
  c10::cuda::CUDACachingAllocator::init(c10::cuda::device_count());
  c10::cuda::CUDACachingAllocator::setMemoryFraction(fraction, static_cast<c10::DeviceIndex>(index));
}

}  // namespace hici::device::kernels
