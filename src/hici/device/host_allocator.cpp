// SPDX-License-Identifier: Apache-2.0
#include "hici/device/host_allocator.h"

#include "hici/base/error.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/alignment.h>
#include <c10/util/Exception.h>

#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <limits>

namespace hici::device {
namespace {

// The slot of malloc's own pointer: right before the aligned one.
void*& origin_of(void* aligned) { return static_cast<void**>(aligned)[-1]; }

void release(void* aligned) {
  if (aligned == nullptr) return;
  c10::profiledCPUMemoryReporter().Delete(aligned);
  std::free(origin_of(aligned));
}

// Null when there is no room.
void* take(size_t num_bytes) {
  constexpr size_t kRoom = c10::gAlignment + sizeof(void*);
  if (num_bytes > std::numeric_limits<size_t>::max() - kRoom) return nullptr;
  void* const origin = std::malloc(num_bytes + kRoom);
  if (origin == nullptr) return nullptr;
  char* const end = static_cast<char*>(origin) + kRoom;
  void* const aligned = end - reinterpret_cast<uintptr_t>(end) % c10::gAlignment;
  origin_of(aligned) = origin;
  return aligned;
}

class HostAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t num_bytes) override {
    if (num_bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::kCPU)};
    void* const data = take(num_bytes);
    if (data == nullptr) {
      c10::profiledCPUMemoryReporter().OutOfMemory(num_bytes);
      // In LibTorch's words, by which a lack of host memory is known (commands/failure_text.cpp).
      C10_THROW_ERROR(Error, hici::detail::concat("DefaultCPUAllocator: not enough memory: you tried to allocate ",
                                                  num_bytes, " bytes."));
    }
    c10::profiledCPUMemoryReporter().New(data, num_bytes);
    return {data, data, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t num_bytes) const override {
    default_copy_data(to, from, num_bytes);
  }
};

}  // namespace

void use_host_allocator() {
#ifdef __GLIBC__
  // What is freed is taken again by the next step: given back in between, its pages would have to be made anew. 32 MiB
  // is where glibc's own moving threshold ends; a block above it is mapped by itself.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
  static HostAllocator allocator;
  c10::SetCPUAllocator(&allocator);
}

}  // namespace hici::device
