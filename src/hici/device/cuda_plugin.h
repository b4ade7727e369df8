// SPDX-License-Identifier: Apache-2.0
// The CUDA plug-in, libhici_cuda.so, and with it LibTorch's CUDA libraries. Loading them takes seconds and a gigabyte,
// so `hici --help` does without, and machines without CUDA run the same program.
//
// LibTorch looks for CUDA once and keeps the answer, so call one of these functions before anything uses at::kCUDA.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hici::device {

// Loads the plug-in from the folder of the running program, or from the path in the environment variable
// HICI_CUDA_PLUGIN. Loads once; later calls return the first result. On failure returns false with the reason, one
// line, in `why_not` (may be null). Also succeeds on a machine without a GPU. Not thread-safe.
bool load_cuda_plugin(std::string* why_not);

struct CudaDevice {
  int index;
  std::string name;
  int capability_major;
  int capability_minor;
  bool runs_our_code;
  std::uint64_t free_bytes;
  std::uint64_t total_bytes;
};

// The GPUs of this machine. When there is none, `why_none` (may be null) has the reason in one line. Loads the plug-in,
// except where there is no NVIDIA driver.
std::vector<CudaDevice> cuda_devices(std::string* why_none);

// Loads the plug-in and checks that GPU `index` exists and runs this build; hici::Error when not. `subject` begins the
// message, "--device cuda:1".
void require_cuda_device(const std::string& subject, int index);

// The plug-in's CUDA version and architectures, and the driver's version: "CUDA 13.0 for sm_80, sm_90; the driver knows
// CUDA 13.0". The plug-in must be loaded.
std::string cuda_plugin_text();

}  // namespace hici::device
