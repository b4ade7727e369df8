// SPDX-License-Identifier: Apache-2.0
#include "hici/device/device.h"

#include "hici/base/error.h"
#include "hici/base/memory.h"
#include "hici/device/cuda_plugin.h"
#include "hici/device/kernel_table.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstdint>

namespace hici::device {
namespace {

// Null until the first tensor on such a device exists: there is no memory to count or to release.
c10::DeviceAllocator* allocator_in_use(at::Device device) {
  c10::DeviceAllocator* allocator = c10::getDeviceAllocator(device.type());
  return allocator->initialized() ? allocator : nullptr;
}

// Of limit_memory(); of one device, for a process works on one.
int64_t& tensor_limit() {
  static int64_t limit = INT64_MAX;
  return limit;
}

constexpr auto kAllPools = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);

}  // namespace

void synchronize(at::Device device) {
  if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

DeviceMemory peak_memory(at::Device device) {
  if (device.is_cpu()) return {peak_resident_bytes(), peak_resident_bytes()};
  c10::DeviceAllocator* allocator = allocator_in_use(device);
  if (allocator == nullptr) return {};
  const auto stats = allocator->getDeviceStats(device.index());
  return {stats.allocated_bytes[kAllPools].peak, stats.reserved_bytes[kAllPools].peak};
}

int64_t allocated_memory(at::Device device) {
  if (device.is_cpu()) return 0;
  c10::DeviceAllocator* allocator = allocator_in_use(device);
  return allocator == nullptr ? 0 : allocator->getDeviceStats(device.index()).allocated_bytes[kAllPools].current;
}

void reset_peak_memory(at::Device device) {
  if (device.is_cpu()) {
    reset_peak_resident();
  } else if (c10::DeviceAllocator* allocator = allocator_in_use(device)) {
    allocator->resetPeakStats(device.index());
  }
}

void limit_memory(at::Device device, int64_t bytes) {
  HICI_ASSERT(device.is_cuda() && bytes > 0, bytes, " of ", device.str());
  tensor_limit() = bytes;
  cuda_kernels().limit_memory(device.index(), bytes);
}

std::optional<int64_t> available_memory(at::Device device) {
  if (device.is_cpu()) return std::nullopt;
  int64_t bytes = 0;
  for (const CudaDevice& gpu : cuda_devices(nullptr)) {
    if (gpu.index == device.index()) bytes += static_cast<int64_t>(gpu.free_bytes);
  }
  c10::DeviceAllocator* allocator = allocator_in_use(device);
  if (allocator != nullptr) bytes += allocator->getDeviceStats(device.index()).reserved_bytes[kAllPools].current;
  return std::min(bytes, tensor_limit());
}

int64_t free_memory(at::Device device) {
  if (device.is_cpu()) return available_bytes();
  const int64_t bytes = available_memory(device).value_or(0);
  return bytes - allocated_memory(device);
}

void release_cached_memory(at::Device device) {
  if (device.is_cpu()) return;
  if (c10::DeviceAllocator* allocator = allocator_in_use(device)) allocator->emptyCache();
}

}  // namespace hici::device
