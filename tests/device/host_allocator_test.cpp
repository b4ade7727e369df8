// SPDX-License-Identifier: Apache-2.0
#include "hici/device/host_allocator.h"

#include "hici/base/memory.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/alignment.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hici::device {
namespace {

// Other tests of this binary keep LibTorch's allocator.
class HostAllocatorTest : public ::testing::Test {
 protected:
  void SetUp() override { use_host_allocator(); }
  void TearDown() override { c10::SetCPUAllocator(before_); }

  c10::Allocator* before_ = c10::GetCPUAllocator();
};

TEST_F(HostAllocatorTest, TensorsAreAlignedAndKeepWhatIsWritten) {
  for (const int64_t size : {1, 3, 63, 64, 65, 4096, 100'000, 3'000'000}) {
    const at::Tensor tensor = at::arange(size, at::kByte);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % c10::gAlignment, 0u) << size;
    EXPECT_TRUE(at::equal(tensor, at::arange(size, at::kLong).to(at::kByte))) << size;
  }
  EXPECT_EQ(at::empty({0}).numel(), 0);
  EXPECT_EQ(at::empty({3, 0}).nbytes(), 0u);
}

TEST_F(HostAllocatorTest, BytesAreTakenAndGivenBackWithoutATensor) {
  c10::Allocator* allocator = c10::GetCPUAllocator();
  void* bytes = allocator->raw_allocate(1000);
  ASSERT_NE(bytes, nullptr);
  allocator->raw_deallocate(bytes);
  const at::Tensor old = at::ones({1000});
  c10::SetCPUAllocator(before_);
  EXPECT_EQ(old.sum().item<float>(), 1000) << "a tensor stays with the allocator that it came from";
}

// g++ says it by the macro, clang by the feature.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kHasAddressSanitizer = true;
#elif defined(__has_feature)
constexpr bool kHasAddressSanitizer = __has_feature(address_sanitizer);
#else
constexpr bool kHasAddressSanitizer = false;
#endif

// What is kept and what is in use are no more than what was in use at some time.
TEST_F(HostAllocatorTest, AFreedLargeBlockIsTheNextOfItsSize) {
  constexpr int64_t kSize = int64_t{40} << 20;
  auto block = [](int64_t size) { return at::ones({size}, at::kByte); };
  release_freed_memory();
  const int64_t before = resident_bytes();
  at::Tensor first = block(kSize);
  const void* const place = first.data_ptr();
  first.reset();
  EXPECT_GE(resident_bytes() - before, kSize * 3 / 4) << "kept";
  first = block(kSize);
  EXPECT_EQ(first.data_ptr(), place);
  first.reset();
  const at::Tensor larger = block(3 * kSize);  // the first one is given back for it
  EXPECT_TRUE(kHasAddressSanitizer || resident_bytes() - before <= 3 * kSize + kSize / 2);
  EXPECT_EQ(larger.sum(at::kLong).item<int64_t>(), 3 * kSize);
}

TEST_F(HostAllocatorTest, ReleaseGivesKeptBlocksBack) {
  release_freed_memory();
  const int64_t before = resident_bytes();
  at::ones({int64_t{200} << 20}, at::kByte).reset();
  EXPECT_GE(resident_bytes() - before, int64_t{150} << 20);
  release_freed_memory();
  EXPECT_TRUE(kHasAddressSanitizer || resident_bytes() - before <= int64_t{20} << 20);
}

TEST_F(HostAllocatorTest, NoRoomIsTheErrorOfLibTorch) {
  for (const size_t bytes : {size_t{1} << 60, SIZE_MAX}) {
    try {
      c10::GetCPUAllocator()->raw_allocate(bytes);
      ADD_FAILURE() << bytes;
    } catch (const c10::Error& e) {
      const std::string text = e.what_without_backtrace();
      EXPECT_EQ(text,
                "DefaultCPUAllocator: not enough memory: you tried to allocate " + std::to_string(bytes) + " bytes.");
    }
  }
}

// With LibTorch's allocator none of the nine does: the small ones have settled in the ends of the holes.
TEST_F(HostAllocatorTest, ABlockGoesWhereOneOfItsSizeWas) {
  if (kHasAddressSanitizer) GTEST_SKIP() << "its malloc() leaves freed blocks alone";
  constexpr int64_t kBytes = 100'000;  // below the size from which glibc maps each block by itself
  std::vector<at::Tensor> blocks;
  std::vector<std::unique_ptr<char[]>> small;
  for (int i = 0; i < 20; ++i) blocks.push_back(at::empty({kBytes}, at::kByte));
  std::vector<const void*> places;
  for (size_t i = 1; i < 19; i += 2) {
    places.push_back(blocks[i].const_data_ptr());
    blocks[i].reset();
    for (int j = 0; j < 8; ++j) small.push_back(std::make_unique<char[]>(24));
  }
  size_t again = 0;
  for (size_t i = 1; i < 19; i += 2) {
    blocks[i] = at::empty({kBytes}, at::kByte);
    again += static_cast<size_t>(std::count(places.begin(), places.end(), blocks[i].const_data_ptr()));
  }
  EXPECT_GT(again, places.size() / 2);
}

}  // namespace
}  // namespace hici::device
