// SPDX-License-Identifier: Apache-2.0
// Synchronisation and memory of a device, through LibTorch's device-generic interfaces. No CUDA header is needed. For a
// GPU the plug-in must be loaded (device/cuda_plugin.h).
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>

namespace hici::device {

// Waits until all work queued on the device is done. No effect on a CPU.
void synchronize(at::Device device);

// Bytes. On a GPU, of LibTorch's allocator: `allocated` by tensors, `reserved` from the card. On a CPU both are the
// resident set of this process.
struct DeviceMemory {
  int64_t allocated = 0;
  int64_t reserved = 0;
};

// The peak since the start of the process or since reset_peak_memory().
DeviceMemory peak_memory(at::Device device);
// Bytes of tensors now, of LibTorch's allocator; 0 on a CPU.
int64_t allocated_memory(at::Device device);
// Sets the peak to the present size. On a CPU only where the kernel allows it.
void reset_peak_memory(at::Device device);
// Lets tensors of this process have so many bytes of a GPU at most, whatever is free: more is out of memory. Not for a
// CPU.
void limit_memory(at::Device device, int64_t bytes);
// Bytes that tensors of this process can have on a GPU: free on the card plus reserved by the allocator, within
// limit_memory(). nullopt on a CPU.
std::optional<int64_t> available_memory(at::Device device);
// Bytes for new tensors: on a GPU free on the card plus cached by the allocator, on a CPU available according to the
// kernel.
int64_t free_memory(at::Device device);
// Returns the allocator's cache to the card. No effect on a CPU.
void release_cached_memory(at::Device device);

}  // namespace hici::device
