// SPDX-License-Identifier: Apache-2.0
#include "hici/device/host_allocator.h"

#include "hici/base/error.h"
#include "hici/base/memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/alignment.h>
#include <c10/util/Exception.h>

#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>

namespace hici::device {
namespace {

// Right before the aligned pointer: malloc's own one, and before that the bytes that it was asked for.
void*& origin_of(void* aligned) { return static_cast<void**>(aligned)[-1]; }
size_t& size_of(void* aligned) { return static_cast<size_t*>(aligned)[-2]; }

// malloc() maps a larger block by itself and unmaps it when it is freed: the next one's pages have to be made anew.
constexpr size_t kLargeBlock = size_t{32} << 20;

// Large blocks that are free, for the next of the same size. They and those in use are never more than those in use
// have been at some time since all were given back.
class LargeBlocks {
 public:
  // A block of this size; null: there is none, and room for a new one.
  void* take(size_t size) {
    const std::lock_guard lock(mutex_);
    if (const auto found = free_.find(size); found != free_.end()) {
      void* const block = found->second;
      free_.erase(found);
      num_free_ -= size;
      in_use_ += size;
      return block;
    }
    const size_t most = std::max(most_, in_use_ + size);
    while (!free_.empty() && in_use_ + size + num_free_ > most) drop(std::prev(free_.end()));
    return nullptr;
  }
  // A new block.
  void add(size_t size) {
    const std::lock_guard lock(mutex_);
    in_use_ += size;
    most_ = std::max(most_, in_use_);
  }
  void give(void* block, size_t size) {
    const std::lock_guard lock(mutex_);
    in_use_ -= size;
    num_free_ += size;
    free_.emplace(size, block);
  }
  void drop_all() {
    const std::lock_guard lock(mutex_);
    while (!free_.empty()) drop(free_.begin());
    most_ = in_use_;
  }

 private:
  using Free = std::multimap<size_t, void*>;
  void drop(Free::iterator block) {
    std::free(block->second);
    num_free_ -= block->first;
    free_.erase(block);
  }

  std::mutex mutex_;
  Free free_;
  size_t in_use_ = 0, num_free_ = 0, most_ = 0;  // bytes
};

// Never freed: tensors of static objects may outlive it.
LargeBlocks& large_blocks() {
  static auto& blocks = *new LargeBlocks;
  return blocks;
}

void release(void* aligned) {
  if (aligned == nullptr) return;
  c10::profiledCPUMemoryReporter().Delete(aligned);
  void* const origin = origin_of(aligned);
  if (const size_t size = size_of(aligned); size >= kLargeBlock) {
    large_blocks().give(origin, size);
  } else {
    std::free(origin);
  }
}

// Of malloc(). Null when there is no room.
void* new_block(size_t size) {
  void* block = std::malloc(size);
  if (block == nullptr) {
    large_blocks().drop_all();
    block = std::malloc(size);
  }
  if (block != nullptr && size >= kLargeBlock) large_blocks().add(size);
  return block;
}

// Null when there is no room.
void* take(size_t num_bytes) {
  constexpr size_t kRoom = c10::gAlignment + sizeof(void*) + sizeof(size_t);
  if (num_bytes > std::numeric_limits<size_t>::max() - kRoom) return nullptr;
  const size_t size = num_bytes + kRoom;
  void* origin = size >= kLargeBlock ? large_blocks().take(size) : nullptr;
  if (origin == nullptr) origin = new_block(size);
  if (origin == nullptr) return nullptr;
  char* const end = static_cast<char*>(origin) + kRoom;
  void* const aligned = end - reinterpret_cast<uintptr_t>(end) % c10::gAlignment;
  origin_of(aligned) = origin;
  size_of(aligned) = size;
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
  // is where glibc's own moving threshold ends.
  mallopt(M_MMAP_THRESHOLD, static_cast<int>(kLargeBlock));
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
  release_with_freed_memory(+[] { large_blocks().drop_all(); });
  static HostAllocator allocator;
  c10::SetCPUAllocator(&allocator);
}

}  // namespace hici::device
