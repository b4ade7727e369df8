// SPDX-License-Identifier: Apache-2.0
#include "hici/base/memory.h"

#include <gtest/gtest.h>

#include <sys/mman.h>

#include <cstring>

namespace hici {
namespace {

constexpr int64_t kBlock = int64_t{64} << 20;

TEST(MemoryTest, PeakStaysAfterTheMemoryIsGivenBackUntilReset) {
  const int64_t before = resident_bytes();
  ASSERT_GT(before, 0);
  // Mapped by hand: an allocator (or a sanitizer's quarantine) need not give memory back.
  void* block = mmap(nullptr, kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  std::memset(block, 1, kBlock);
  EXPECT_GE(resident_bytes(), before + kBlock / 2);
  munmap(block, kBlock);
  EXPECT_GE(peak_resident_bytes(), before + kBlock / 2);
  const int64_t with_block = peak_resident_bytes();
  if (reset_peak_resident()) {
    EXPECT_LT(peak_resident_bytes(), with_block);
  }
  EXPECT_GE(peak_resident_bytes(), resident_bytes() / 2);
}

}  // namespace
}  // namespace hici
