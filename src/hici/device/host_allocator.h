// SPDX-License-Identifier: Apache-2.0
// The allocator of CPU tensors.
//
// LibTorch (2.11) takes every tensor by posix_memalign(). glibc before 2.38 serves that only from a hole that is larger
// than the block by its alignment, and hands the ends back; small objects settle in them, so that the hole which the
// block leaves has no room for the next block of the same size (sourceware bug 14581). A training step, which takes
// the same sizes again and again, then holds half as much again as its tensors. This allocator asks malloc() for a few
// bytes more and aligns by itself: a block goes where one of its size was. With it, glibc is told to keep what is freed
// for the next step; release_freed_memory() of base/memory.h gives it back. A lower mmap threshold would hold as
// little, for a third more time, in page faults (docs/performance.md).
#pragma once

namespace hici::device {

// Installs the allocator for all later tensors; existing ones keep theirs. A failed allocation throws c10::Error, as
// LibTorch's allocator does. Call it once, before other threads start.
void use_host_allocator();

}  // namespace hici::device
