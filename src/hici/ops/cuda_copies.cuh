// SPDX-License-Identifier: Apache-2.0
// Asynchronous copies to shared memory. A thread that reads only its own copies does not wait for other threads.
#pragma once

#include <cuda_runtime.h>

namespace hici::ops::cuda {

// 16 bytes.
__device__ inline void copy_async(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
               :
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(from)
               : "memory");
}
// The same, or zeros.
__device__ inline void copy_async_or_zero(void* to, const void* from, bool is_there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(from), "r"(is_there ? 16 : 0)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" : : : "memory"); }
// All but the last `kLater` groups of copies are there.
template <int kLater>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(kLater) : "memory");
}

}  // namespace hici::ops::cuda
