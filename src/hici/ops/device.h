// SPDX-License-Identifier: Apache-2.0
// What is asked of a device as a whole: waiting for it, and its memory. LibTorch's device-generic interfaces do it, so
// that nothing here needs CUDA's headers; for a GPU the plug-in must be loaded (ops/cuda_plugin.h).
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

namespace hici::ops {

// Returns when all work queued on the device is done; at once on a CPU.
void synchronize(at::Device device);

// Bytes. On a GPU LibTorch's allocator counts: `allocated` is what tensors took, `reserved` what the allocator took
// from the card. On a CPU both are the resident set of this process.
struct DeviceMemory {
  int64_t allocated = 0;
  int64_t reserved = 0;
};

// The largest since the start of the process or since reset_peak_memory().
DeviceMemory peak_memory(at::Device device);
// The peak starts again from the present size. On a CPU only where the kernel allows it.
void reset_peak_memory(at::Device device);
// Bytes that tensors of this process could take on a GPU: free on the card, or held by the allocator already. nullopt
// on a CPU.
std::optional<int64_t> available_memory(at::Device device);
// Bytes that new tensors could take now: on a GPU what is free on the card or cached by the allocator, on a CPU what
// the kernel says is available.
int64_t free_memory(at::Device device);
// Gives the card back what the allocator keeps for reuse; nothing on a CPU.
void release_cached_memory(at::Device device);

}  // namespace hici::ops
