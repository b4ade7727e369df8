// SPDX-License-Identifier: Apache-2.0
// Memory of the GPUs of other processes on this host, mapped for copies. What never changes can be read from there at
// any time, over NVLink, by the copy engines: no multiprocessor works for it, and nobody waits for anybody.
#pragma once

#include "hici/parallel/process_group.h"

#include <vector>

namespace hici::parallel {

// uint8, on a GPU in memory that can be shared: LibTorch's expandable segments, which other allocations use, take a
// file descriptor for every 20 MiB.
at::Tensor allocate_shareable(int64_t bytes, at::Device device);

// `own`: memory of this process on its GPU, of one size in all processes of the group, which all make this call. The
// result: that of every process, in the order of the ranks, to be read while the others hold it. Empty, in all of them,
// where one process cannot map that of another: on several hosts, or where a process sees its own GPU alone. A process
// alone and tensors on a CPU get it empty too.
std::vector<at::Tensor> open_peer_memory(const ProcessGroup& group, const at::Tensor& own);

}  // namespace hici::parallel
