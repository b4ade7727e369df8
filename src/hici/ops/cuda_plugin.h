// SPDX-License-Identifier: Apache-2.0
// Loads the CUDA side of this program, libhici_cuda.so, and with it LibTorch's. It is kept out of the program itself
// because those libraries take seconds and a gigabyte to load: `hici --help` must not pay for that, and machines
// without CUDA run the same program.
//
// LibTorch asks once whether it has CUDA and keeps the answer, so call one of these before anything touches at::kCUDA.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hici::ops {

// Loads the plug-in that lies beside the running program (or the one that the environment variable HICI_CUDA_PLUGIN
// names), once; later calls return the first answer. False with the reason, one line, in `why_not` (may be null).
// Says nothing about GPUs: it also succeeds on a machine with none. Not thread-safe.
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

// The GPUs of this machine; when empty, `why_none` (may be null) says why in one line. Loads the plug-in, but not where
// there is no NVIDIA driver.
std::vector<CudaDevice> cuda_devices(std::string* why_none);

// For a command that was told to use GPU `index`: loads the plug-in and checks that the GPU is there and runs what was
// compiled in; hici::Error when not. `subject` begins the message, "--device cuda:1".
void require_cuda_device(const std::string& subject, int index);

// What the plug-in was compiled for and what the driver knows: "CUDA 13.0 for sm_80, sm_90; the driver knows
// CUDA 13.0". Needs a plug-in that is loaded.
std::string cuda_plugin_text();

}  // namespace hici::ops
