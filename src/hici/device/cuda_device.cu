// SPDX-License-Identifier: Apache-2.0
#include "hici/device/cuda_device.h"

#include <cuda_runtime.h>

#include <cstdio>

namespace {

// Never launched: whether it loads tells whether a GPU can run what was compiled in.
__global__ void probe_kernel() {}

bool probe_loads() {
  cudaFuncAttributes attributes;
  const bool loads = cudaFuncGetAttributes(&attributes, probe_kernel) == cudaSuccess;
  cudaGetLastError();  // the failure is reported by value; later calls must not see it
  return loads;
}

}  // namespace

extern "C" void hici_cuda_facts(hici::device::CudaFacts* facts) {
  *facts = {};
  facts->architectures = HICI_CUDA_ARCHITECTURES;
  cudaRuntimeGetVersion(&facts->runtime_version);
  cudaDriverGetVersion(&facts->driver_version);
  const cudaError_t error = cudaGetDeviceCount(&facts->num_devices);
  if (error == cudaSuccess && facts->num_devices > 0) return;
  facts->num_devices = 0;
  const char* reason = error == cudaSuccess ? "no CUDA-capable device is detected" : cudaGetErrorString(error);
  std::snprintf(facts->why_none, sizeof(facts->why_none), "%s", reason);
  cudaGetLastError();
}

extern "C" bool hici_cuda_device_facts(int index, hici::device::CudaDeviceFacts* facts) {
  *facts = {};
  cudaDeviceProp properties;
  int previous = 0;
  if (cudaGetDevice(&previous) != cudaSuccess || cudaGetDeviceProperties(&properties, index) != cudaSuccess)
    return false;
  std::snprintf(facts->name, sizeof(facts->name), "%s", properties.name);
  facts->capability_major = properties.major;
  facts->capability_minor = properties.minor;
  facts->total_bytes = properties.totalGlobalMem;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  if (cudaSetDevice(index) != cudaSuccess) return false;
  const bool is_readable = cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess;
  facts->free_bytes = free_bytes;
  facts->runs_our_code = probe_loads();
  cudaSetDevice(previous);
  return is_readable;
}
