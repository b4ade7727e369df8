// SPDX-License-Identifier: Apache-2.0
// What libhici asks of devices through LibTorch's generic interfaces, on a machine without a GPU too.
#include "hici/device/device.h"

#include "hici/device/cuda_plugin.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace hici::device {
namespace {

TEST(DeviceTest, ThePeakOfACpuCoversWhatWasTouchedSinceTheReset) {
  reset_peak_memory(at::kCPU);
  const int64_t before = peak_memory(at::kCPU).allocated;
  constexpr size_t kBytes = size_t{256} << 20;
  {
    const auto block = std::make_unique<char[]>(kBytes);
    std::memset(block.get(), 1, kBytes);
    EXPECT_EQ(block[kBytes / 2], 1);
  }
  EXPECT_GT(peak_memory(at::kCPU).allocated, before);
  synchronize(at::kCPU);  // has nothing to wait for
}

// LibTorch's CUDA allocator answers through the generic interface; before the first tensor it has nothing to say.
TEST(DeviceTest, AGpuThatWasNotUsedHasNoPeak) {
  if (!load_cuda_plugin(nullptr)) GTEST_SKIP() << "built without CUDA";
  EXPECT_NE(dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(at::kCUDA)), nullptr);
  EXPECT_EQ(peak_memory(at::Device(at::kCUDA, 0)).allocated, 0);
  reset_peak_memory(at::Device(at::kCUDA, 0));
  release_cached_memory(at::Device(at::kCUDA, 0));
}

}  // namespace
}  // namespace hici::device
