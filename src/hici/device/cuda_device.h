// SPDX-License-Identifier: Apache-2.0
// Facts about GPUs from the CUDA plug-in (libhici_cuda.so), as plain C data: plug-in and program share no C++ objects
// but tensors. Programs use cuda_plugin.h.
#pragma once

#include <cstdint>

namespace hici::device {

struct CudaDeviceFacts {
  char name[256];
  int capability_major;
  int capability_minor;
  bool runs_our_code;  // a kernel of the plug-in loads on it: compiled for it, or PTX that its driver can translate
  std::uint64_t free_bytes;
  std::uint64_t total_bytes;
};

struct CudaFacts {
  int runtime_version;        // 13000 is CUDA 13.0
  int driver_version;         // the newest CUDA that the driver knows; 0 when there is no driver
  const char* architectures;  // what was compiled in, "sm_80, sm_90"
  int num_devices;
  char why_none[256];  // CUDA's words when num_devices is 0
};

}  // namespace hici::device

// Exported by the plug-in. Both return without throwing; the second returns false when the device cannot be asked.
extern "C" void hici_cuda_facts(hici::device::CudaFacts* facts);
extern "C" bool hici_cuda_device_facts(int index, hici::device::CudaDeviceFacts* facts);
