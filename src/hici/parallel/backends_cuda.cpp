// SPDX-License-Identifier: Apache-2.0
// c10d's NCCL class, which lies in libtorch_cuda: made here, used by parallel/ through c10d's own interface.
#include "hici/device/kernels_cuda.h"

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <chrono>

namespace hici::device::kernels {

c10d::Backend* make_nccl_backend(c10d::Store* store, int rank, int size, int64_t timeout_s) {
  auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
  options->timeout = std::chrono::seconds(timeout_s);
  // Kernels in clusters of four blocks, NCCL's choice for Hopper, wait until a product on the main stream ends: they do
  // not fit the SMs that it leaves free (device/sm_carveout.h). The environment's NCCL_CGA_CLUSTER_SIZE goes before
  // this.
  options->config.cgaClusterSize = 0;
  c10::intrusive_ptr<c10d::Backend> backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(
      c10::intrusive_ptr<c10d::Store>::reclaim_copy(store), rank, size, std::move(options));
  return backend.release();
}

}  // namespace hici::device::kernels
