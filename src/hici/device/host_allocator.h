// SPDX-License-Identifier: Apache-2.0
// The allocator of CPU tensors.
//
// LibTorch (2.11) allocates every tensor by posix_memalign(). glibc before 2.38 serves it only from a hole that is
// larger than the block by its alignment, and returns the ends of the hole. Small objects then occupy these ends, and
// the hole of the freed block is too small for the next block of the same size (sourceware bug 14581). A training step
// allocates the same sizes repeatedly, and its process then holds 1.5 times the memory of its tensors. This allocator
// requests a few bytes more from malloc() and aligns the block itself, so a block fits the hole of an equal one. It
// also makes glibc keep freed memory for the next step; release_freed_memory() of base/memory.h returns it. A lower
// mmap threshold would need as little memory but a third more time, for page faults (docs/performance.md). For the same
// reason large blocks, which malloc() maps one by one, are kept for the next block of their size.
#pragma once

namespace hici::device {

// Installs the allocator for all later tensors; existing ones keep theirs. A failed allocation throws c10::Error, as
// LibTorch's allocator does. Call it once, before other threads start.
void use_host_allocator();

}  // namespace hici::device
